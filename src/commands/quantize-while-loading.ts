import type { Device } from "../device.ts";
import type { Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { codeTable, dynamicTable, rankTable } from "../format/code-tables.ts";
import { dynamicLut } from "../format/dynamic-lut.ts";
import type { QuantizedWeight } from "../nn/weight.ts";
import { quantize4bit, quantize8bit } from "../ops/index.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { CHUNK, readAsF32 } from "./load-llama.ts";
import type { QuantizeOnLoad } from "./train-options.ts";

/** What linears become while a model is loaded. */
export interface LoadQuantization {
  readonly type: "nf4" | "fp4";
  readonly blocksize: number;
  readonly doubleQuant: boolean;
}

const NESTED_BLOCKSIZE = 256;

type Choice = { readonly quantize: QuantizeOnLoad; readonly blocksize: number; readonly doubleQuant: boolean };

export function quantizationOf({ quantize, blocksize, doubleQuant }: Choice): LoadQuantization | undefined {
  return quantize === "none" ? undefined : { type: quantize, blocksize, doubleQuant };
}

/** For the log and for `trainer_state.json`: what the base is in memory. */
export function quantizationLabel(checkpoint: Checkpoint, { quantize, blocksize, doubleQuant }: Choice): string {
  const stored = [...checkpoint.tensors.values()].find((t) => t.kind === "bnb4");
  if (stored?.kind === "bnb4") return `${describe(stored.state.quantType, stored.state.blocksize, stored.state.nested !== undefined)}, as stored`;
  return quantize === "none" ? "none" : `${describe(quantize, blocksize, doubleQuant)}, while loading`;
}

function describe(type: string, blocksize: number, doubleQuant: boolean): string {
  return `${type}, blocksize ${blocksize}${doubleQuant ? ", double quantization" : ""}`;
}

/** Reads and quantizes a matrix a chunk at a time: its float32 never exists as a whole. Dequantizes to float32, as a bnb model loaded in float32 does. */
export async function quantizeWhileLoading(device: Device, source: DenseTensor, staging: Tensor, choice: LoadQuantization, signal?: AbortSignal): Promise<QuantizedWeight> {
  const { name, shape } = source;
  const { blocksize } = choice;
  const n = elementsOf(shape);
  const blocks = Math.ceil(n / blocksize);
  const table = codeTable(choice.type);
  const put = (label: string, data: Float32Array | Uint8Array): Tensor => {
    const tensor = device.allocate(data instanceof Uint8Array ? "u8" : "f32", [data.length], `${name}.${label}`);
    device.write(tensor, data);
    return tensor;
  };
  const { thresholds, codes } = rankTable(table);
  const rules = { thresholds: put("thresholds", thresholds), codes: put("codes", codes) };
  const packed = device.allocate("u8", [Math.ceil(n / 2)], name);
  const absmax = device.allocate("f32", [blocks], `${name}.absmax`);
  const values = device.allocate("f32", [Math.min(CHUNK, n)], "values");
  await readAsF32(device, source, staging, () => values, signal, (at, chunk) => {
    const to = { packed: viewTensor(packed, [Math.ceil(chunk / 2)], at / 2), absmax: viewTensor(absmax, [Math.ceil(chunk / blocksize)], at / blocksize) };
    device.run(quantize4bit, { x: values, ...rules, ...to }, { n: chunk, blocksize, inputType: 0 });
  });
  for (const tensor of [values, rules.thresholds, rules.codes]) device.free(tensor);
  const code = put("quant_map", table);
  const plain = { kind: "4bit" as const, out: shape[0], in: shape[1], packed, absmax, code, nestedAbsmax: code, nestedCode: code, blocksize, nested: false, nestedOffset: 0, round: 0 as const };
  return choice.doubleQuant ? doubleQuantize(device, plain, blocks, put) : plain;
}

async function doubleQuantize(device: Device, weight: QuantizedWeight, blocks: number, put: (label: string, data: Float32Array | Uint8Array) => Tensor): Promise<QuantizedWeight> {
  const nestedOffset = meanOf((await device.read(weight.absmax)) as Float32Array);
  const lut = put("lut", dynamicLut(dynamicTable()));
  const absmax = device.allocate("u8", [blocks], `${weight.packed.label}.absmax`);
  const nestedAbsmax = device.allocate("f32", [Math.ceil(blocks / NESTED_BLOCKSIZE)], `${weight.packed.label}.nested_absmax`);
  device.run(quantize8bit, { x: weight.absmax, lut, q: absmax, absmax: nestedAbsmax }, { n: blocks, blocksize: NESTED_BLOCKSIZE, offset: nestedOffset });
  await device.finish();
  device.free(lut);
  device.free(weight.absmax);
  return { ...weight, absmax, nestedAbsmax, nestedCode: put("nested_quant_map", dynamicTable()), nested: true, nestedOffset };
}

/** Float64 mean, rounded once. */
function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return Math.fround(sum / values.length);
}
