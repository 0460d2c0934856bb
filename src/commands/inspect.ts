import type { Device } from "../device.ts";
import { ShapeError } from "../errors.ts";
import { openContents } from "../format/contents.ts";
import { ggufContents } from "../format/contents-gguf.ts";
import { checkBlocksize } from "../ops/blocksize.ts";
import { inspectContents, type Inspection, type StoredInspectCall } from "./inspect-stored.ts";
import { ErrorMeter, ErrorSums } from "./resolution-errors.ts";

export type { InspectedTensor, Inspection, QuantizationBytes, TensorQuantization } from "./inspect-stored.ts";

export interface InspectCall extends StoredInspectCall {
  /** Measure what every resolution from f32 down to 4 bits would cost; needs `device`. Default false. */
  readonly error?: boolean | undefined;
  /** Values that share one scale in those measurements; default 64. */
  readonly blocksize?: number | undefined;
  readonly device?: Device | undefined;
  /** Bytes of the source, with `error` alone. */
  readonly onProgress?: ((event: { readonly tensor: string; readonly done: number; readonly total: number }) => void) | undefined;
}

/**
 * What lies in a file, GGUF too, or folder, tensor by tensor, as it is stored. Without `error` only headers and tables are read,
 * with it everything, in bounded memory.
 * @throws FormatError for a broken file, ShapeError for an option; the signal's reason when aborted.
 */
export async function inspect(call: InspectCall): Promise<Inspection> {
  const { blocksize = 64, device } = call;
  checkBlocksize("inspect", blocksize);
  if (call.error && !device) throw new ShapeError("inspect", "device", { expected: "one to measure errors on", got: "none" });
  const contents = await openContents(call.source, ggufContents);
  const meter = call.error ? new ErrorMeter(device!, blocksize) : undefined;
  try {
    return await inspectContents(call, contents, meter && { meter, all: new ErrorSums(), onProgress: call.onProgress });
  } finally {
    meter?.dispose();
    await contents.close();
  }
}
