import writeWordWgsl from "../../gpu/write-word.wgsl";
import { defineOp, type Op } from "../op.ts";
import type { Commands } from "./commands.ts";
import type { GpuBuffer } from "./memory.ts";
import type { Pipelines } from "./pipelines.ts";

/** Not an op of the engine: how a write begins or ends inside a word, which WebGPU's own writes cannot. */
const WRITE_WORD = defineOp({
  name: "write-word",
  operands: [{ name: "words", dtype: "u32", access: "inout", shape: ({ index }) => [index + 1] }],
  params: [{ name: "index", type: "u32" }, { name: "mask", type: "u32" }, { name: "bits", type: "u32" }],
  tiles: () => 1,
  cost: () => ({ bytes: 8, flops: 0 }),
  agreement: "bits",
  devices: ["webgpu"],
  gpu: { code: writeWordWgsl, passes: [{ entry: "main", workgroups: () => 1 }] },
}) as Op;

/** Writes `bytes` at `offset` of the buffer, after everything recorded before, and nothing beside them. */
export function writeBytes(device: GPUDevice, commands: Commands, pipelines: Pipelines, buffer: GpuBuffer, offset: number, bytes: Uint8Array): void {
  const end = offset + bytes.length;
  const firstWhole = Math.ceil(offset / 4) * 4;
  // Padding at the end of a buffer belongs to nobody.
  const lastWhole = end + 3 >= buffer.bytes ? Math.ceil(end / 4) * 4 : Math.floor(end / 4) * 4;
  const patch = (from: number, to: number): void => {
    const word = Math.floor(from / 4) * 4;
    let mask = 0, bits = 0;
    for (let at = from; at < to; at++) {
      mask |= 255 << (8 * (at - word));
      bits |= bytes[at - offset] << (8 * (at - word));
    }
    // Indices count words from a place where any binding may begin.
    const base = Math.floor(word / 256) * 256;
    const params = new Uint8Array(Uint32Array.of((word - base) / 4, mask, bits).buffer);
    commands.dispatch(pipelines.of(WRITE_WORD, WRITE_WORD.gpu!.passes[0]), [{ buffer, offset: base, size: Math.min(256, buffer.bytes - base) }], params, 1, 0);
  };
  if (lastWhole > firstWhole) {
    const whole = bytes.subarray(firstWhole - offset, Math.min(lastWhole, end) - offset);
    commands.flush();
    if (whole.length % 4 === 0) device.queue.writeBuffer(buffer.gpu, firstWhole, whole as Uint8Array<ArrayBuffer>);
    else {
      const padded = new Uint8Array(lastWhole - firstWhole);
      padded.set(whole);
      device.queue.writeBuffer(buffer.gpu, firstWhole, padded);
    }
  }
  if (offset < firstWhole) patch(offset, Math.min(end, firstWhole));
  if (end > lastWhole && lastWhole >= firstWhole) patch(Math.max(lastWhole, offset), end);
}
