import type { Device } from "../device.ts";
import type { Bnb4Tensor, DenseTensor } from "../format/checkpoint.ts";
import { bf16ToF32, dequantize4bit, f16ToF32 } from "../ops/index.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";

/** Elements moved at a time: 4 MiB of float32, and whole blocks of every blocksize. */
export const CHUNK = 2 ** 20;

/**
 * Reads a dense tensor chunk by chunk into the f32 tensors that `target` names, converting on the device.
 * `into` takes one chunk after the other, also over many calls: garbage of this size waits long for its collector.
 */
export async function readAsF32(
  device: Device, source: DenseTensor, staging: Tensor, target: (chunk: number, at: number) => Tensor, signal?: AbortSignal,
  after?: (at: number, chunk: number) => void | Promise<void>, size = CHUNK, into = new Uint8Array(4 * Math.min(size, elementsOf(source.shape))),
): Promise<void> {
  const n = elementsOf(source.shape);
  for (let at = 0; at < n; at += size) {
    signal?.throwIfAborted();
    const chunk = Math.min(size, n - at);
    const values = await source.read(at, at + chunk, into);
    const y = target(chunk, at);
    if (source.dtype === "f32") device.write(y, values);
    else {
      const x: Tensor = { ...viewTensor(staging, [chunk]), dtype: source.dtype };
      device.write(x, values);
      device.run(source.dtype === "bf16" ? bf16ToF32 : f16ToF32, { x, y }, { n: chunk });
    }
    await after?.(at, chunk);
    await device.finish();
  }
}

/** Constants of double quantization cover 256 blocks, so only there may a chunk begin. */
export function chunkUnit(source: Bnb4Tensor): number {
  return source.state.blocksize * (source.state.nested?.blocksize ?? 1);
}

/** As `readAsF32`, for a tensor in 4 bits: code · absmax in f32, as the network multiplies with it. `size` is a multiple of `chunkUnit(source)`. */
export async function dequantizeChunks(
  device: Device, source: Bnb4Tensor, target: (chunk: number, at: number) => Tensor, signal: AbortSignal | undefined,
  after: (at: number, chunk: number) => void | Promise<void>, size: number,
): Promise<void> {
  const { state, name } = source;
  const { blocksize, nested } = state;
  const held: Tensor[] = [];
  const put = (data: Float32Array | Uint8Array): Tensor => {
    const tensor = device.allocate(data instanceof Float32Array ? "f32" : "u8", [data.length], `${name} constants`);
    held.push(tensor);
    device.write(tensor, data);
    return tensor;
  };
  try {
    const absmax = put(await source.absmax());
    const code = put(source.quantMap);
    const nestedAbsmax = source.nestedAbsmax ? put(source.nestedAbsmax) : code;
    const nestedCode = source.nestedQuantMap ? put(source.nestedQuantMap) : code;
    const packed = device.allocate("u8", [size / 2], `${name} codes`);
    held.push(packed);
    const n = elementsOf(source.shape);
    const room = new ArrayBuffer(Math.ceil(Math.min(size, n) / 2));
    for (let at = 0; at < n; at += size) {
      signal?.throwIfAborted();
      const chunk = Math.min(size, n - at);
      device.write(packed, await source.packed(at / 2, Math.ceil((at + chunk) / 2), new Uint8Array(room, 0, Math.ceil(chunk / 2))));
      const from = (constants: Tensor, unit: number): Tensor => viewTensor(constants, [Math.ceil(chunk / unit)], at / unit);
      const operands = { packed, absmax: from(absmax, blocksize), code, nestedAbsmax: nested ? from(nestedAbsmax, chunkUnit(source)) : code, nestedCode, y: target(chunk, at) };
      device.run(dequantize4bit, operands, { n: chunk, blocksize, nested: nested ? 1 : 0, nestedOffset: nested?.offset ?? 0, round: 0 });
      await after(at, chunk);
      await device.finish();
    }
  } finally {
    for (const tensor of held) device.free(tensor);
  }
}
