// For browsers: the page calls `run`, the files come from the server.
import { navigatorGpu } from "../../../src/webgpu/adapter.ts";
import { trust, type Outcome } from "./trust.ts";

export async function run(steps: number): Promise<Outcome> {
  const gpu = navigatorGpu();
  if (!gpu) throw new Error("this browser has no navigator.gpu");
  const read = async (path: string): Promise<Uint8Array<ArrayBuffer>> => {
    const answer = await fetch(`/${path}`);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  return trust({ gpu, read, say: (line) => console.log(line), steps });
}
