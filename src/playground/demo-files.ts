import { FormatError } from "../errors.ts";
import { memoryFolder } from "../io/memory.ts";
import type { SourceFolder } from "../io/types.ts";

const FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/** The small model of the package; it lies beside the page. */
export async function demoFiles(): Promise<SourceFolder> {
  return memoryFolder("demo", await Promise.all(FILES.map(async (file) => [file, await demoFile(file)] as const)));
}

/** Alice in Wonderland. */
export function demoText(): Promise<Uint8Array<ArrayBuffer>> {
  return demoFile("alice.txt");
}

async function demoFile(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(new URL(`demo/${file}`, self.location.href));
  if (!answer.ok) throw new FormatError(`demo/${file}`, "cannot be loaded", { got: `HTTP ${answer.status}`, hint: "serve the whole folder of the playground" });
  return new Uint8Array(await answer.arrayBuffer());
}
