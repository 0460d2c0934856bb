import type { Checkpoint } from "../format/checkpoint.ts";
import { f16ToNumber } from "../format/gguf-blocks.ts";
import { dequantizeTensor } from "../quant/dequantize-tensor.ts";
import { quantizeTensor } from "../quant/quantize-tensor.ts";

const BLOCKSIZE = 64;
const BLOCKS = 256; // what one nested absmax covers

/** Real weights of the chosen model beside what NF4 makes of them. */
export interface Exhibit {
  readonly tensor: string;
  /** f32 values before quantization, block after block. */
  readonly values: readonly number[];
  readonly codes: readonly number[];
  /** As stored in f32, and as double quantization gives them back. */
  readonly absmax: readonly number[];
  readonly nestedAbsmax: readonly number[];
  readonly restored: readonly number[];
  readonly levels: readonly number[];
}

/** The first blocks of the first linear that is not quantized yet. */
export async function exhibitOf(checkpoint: Checkpoint): Promise<Exhibit | undefined> {
  for (const [name, tensor] of checkpoint.tensors) {
    if (tensor.kind !== "dense" || !name.endsWith("_proj.weight")) continue;
    const n = Math.min(BLOCKS * BLOCKSIZE, tensor.shape[0] * tensor.shape[1]);
    const stored = await tensor.read(0, n);
    const values = stored instanceof Float32Array ? stored : widened(stored as Uint16Array, tensor.dtype as "f16" | "bf16");
    return exhibitOfValues(name, values);
  }
  return undefined;
}

function exhibitOfValues(tensor: string, values: Float32Array): Exhibit {
  const plain = quantizeTensor(values, { doubleQuant: false, nan: "keep" });
  const nested = quantizeTensor(values, { nan: "keep" });
  if (plain.type !== "nf4" || nested.type !== "nf4") throw new Error("nf4 was asked for");
  const codes = [...plain.packed].flatMap((byte) => [byte >> 4, byte & 15]).slice(0, values.length);
  const restored = dequantizeTensor(nested);
  const state = nested.nested!;
  const nestedAbsmax = [...nested.absmax].map((code, i) => state.code[code] * state.absmax[i >> 8] + state.offset);
  return { tensor, values: [...values], codes, absmax: [...plain.absmax], nestedAbsmax, restored: [...restored], levels: [...plain.code] };
}

/** bf16 is the upper half of f32. */
function widened(bits: Uint16Array, dtype: "f16" | "bf16"): Float32Array {
  return dtype === "bf16" ? new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer) : Float32Array.from(bits, f16ToNumber);
}
