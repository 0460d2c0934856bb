import type { Bnb4Tensor, Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { f16ToNumber } from "../format/gguf-blocks.ts";
import { dequantizeTensor } from "../quant/dequantize-tensor.ts";
import { quantizeTensor } from "../quant/quantize-tensor.ts";
import { elementsOf } from "../tensor.ts";

const BLOCKSIZE = 64;
const BLOCKS = 256; // what one nested absmax covers

/** Real weights of the chosen model beside what NF4 makes of them. */
export interface Exhibit {
  readonly tensor: string;
  /** The model came in 4 bits: `values` lie on its levels, what they were before nobody knows. */
  readonly was4bit: boolean;
  /** f32 values before quantization, block after block. */
  readonly values: readonly number[];
  readonly codes: readonly number[];
  /** As stored in f32, and as double quantization gives them back. */
  readonly absmax: readonly number[];
  readonly nestedAbsmax: readonly number[];
  readonly restored: readonly number[];
  readonly levels: readonly number[];
}

/** The first blocks of the first linear. */
export async function exhibitOf(checkpoint: Checkpoint): Promise<Exhibit | undefined> {
  for (const [name, tensor] of checkpoint.tensors) {
    if (!name.endsWith("_proj.weight")) continue;
    const n = Math.min(BLOCKS * BLOCKSIZE, elementsOf(tensor.shape));
    return exhibitOfValues(name, tensor.kind === "bnb4", tensor.kind === "bnb4" ? await valuesIn4Bits(tensor, n) : await denseValues(tensor, n));
  }
  return undefined;
}

function exhibitOfValues(tensor: string, was4bit: boolean, values: Float32Array): Exhibit {
  const plain = quantizeTensor(values, { doubleQuant: false, nan: "keep" });
  const nested = quantizeTensor(values, { nan: "keep" });
  if (plain.type !== "nf4" || nested.type !== "nf4") throw new Error("nf4 was asked for");
  const codes = [...plain.packed].flatMap((byte) => [byte >> 4, byte & 15]).slice(0, values.length);
  const restored = dequantizeTensor(nested);
  const state = nested.nested!;
  const nestedAbsmax = [...nested.absmax].map((code, i) => state.code[code] * state.absmax[i >> 8] + state.offset);
  return { tensor, was4bit, values: [...values], codes, absmax: [...plain.absmax], nestedAbsmax, restored: [...restored], levels: [...plain.code] };
}

async function denseValues({ read, dtype }: DenseTensor, n: number): Promise<Float32Array> {
  const stored = await read(0, n);
  if (stored instanceof Float32Array) return stored;
  // bf16 is the upper half of f32.
  return dtype === "bf16" ? new Float32Array(Uint32Array.from(stored, (bits) => bits << 16).buffer) : Float32Array.from(stored, f16ToNumber);
}

async function valuesIn4Bits({ packed, absmax, state, quantMap, nestedAbsmax, nestedQuantMap }: Bnb4Tensor, n: number): Promise<Float32Array> {
  const { quantType: type, blocksize, nested } = state;
  const blocks = Math.ceil(n / blocksize);
  return dequantizeTensor({
    type, blocksize, shape: [n], dtype: "f32", packed: await packed(0, Math.ceil(n / 2)), code: quantMap, absmax: (await absmax()).slice(0, blocks),
    ...(nested && { nested: { absmax: nestedAbsmax!.slice(0, Math.ceil(blocks / nested.blocksize)), code: nestedQuantMap!, offset: nested.offset } }),
  });
}
