import { openModel } from "../commands/open-model.ts";
import { quantize } from "../commands/quantize.ts";
import { wholeOrNothing } from "../commands/model-folder.ts";
import type { Device } from "../device.ts";
import type { SinkFolder, SourceFolder } from "../io/types.ts";
import { elementsOf } from "../tensor.ts";
import { exhibitOf, type Exhibit } from "./exhibit.ts";
import type { ModelFacts } from "./session.ts";

interface Taken extends Pick<ModelFacts, "parameters" | "bytesBefore" | "bytes" | "bitsPerParameter"> {
  readonly exhibit: Exhibit | undefined;
}

interface Work {
  readonly device: Device;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

/** Brings a model into the page's storage: quantized, or as it is when it is in 4 bits already. */
export async function takeModel(model: SourceFolder, output: SinkFolder, { device, signal, onProgress }: Work): Promise<Taken> {
  const checkpoint = await openModel(model);
  try {
    const exhibit = await exhibitOf(checkpoint);
    const tensors = [...checkpoint.tensors.values()];
    if (tensors.some(({ kind }) => kind === "bnb4")) {
      await wholeOrNothing(output, () => copyFiles(model, output, onProgress, signal));
      const parameters = tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
      const bytes = tensors.reduce((sum, { storageBytes }) => sum + storageBytes, 0);
      return { exhibit, parameters, bytesBefore: bytes, bytes, bitsPerParameter: (8 * bytes) / parameters };
    }
    const { parameters, bytesIn, bytesOut, bitsPerParam } = await quantize({ model, output, device, signal, onProgress: ({ done, total }) => onProgress(done, total) });
    return { exhibit, parameters, bytesBefore: bytesIn, bytes: bytesOut, bitsPerParameter: bitsPerParam };
  } finally {
    await checkpoint.close();
  }
}

const CHUNK = 2 ** 22;
const OF_A_MODEL = /\.(safetensors|json|jinja|model|txt)$/;

async function copyFiles(from: SourceFolder, to: SinkFolder, onProgress: Work["onProgress"], signal: AbortSignal): Promise<void> {
  const files = await Promise.all((await from.list()).filter((name) => OF_A_MODEL.test(name)).map(async (name) => ({ name, source: await from.open(name) })));
  const total = files.reduce((sum, { source }) => sum + source.size, 0);
  let done = 0;
  for (const { name, source } of files) {
    const sink = await to.create(name);
    for (let at = 0; at < source.size; at += CHUNK) {
      signal.throwIfAborted();
      const bytes = await source.read(at, Math.min(CHUNK, source.size - at));
      await sink.write(at, bytes);
      onProgress(done += bytes.length, total);
    }
    await sink.close();
    await source.close();
  }
}
