import type { Device } from "../device.ts";
import type { Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { dynamicTable } from "../format/code-tables.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import type { QuantizedWeight } from "../nn/weight.ts";
import { nestedOffsetOf } from "../quant/nested-offset.ts";
import { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { CHUNK, readAsF32 } from "./read-tensor.ts";
import type { QuantizeOnLoad } from "./train-options.ts";

/** What linears become while a model is loaded. */
export interface LoadQuantization {
  readonly type: "nf4" | "fp4";
  readonly blocksize: number;
  readonly doubleQuant: boolean;
}

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

/** Reads and quantizes a matrix a chunk at a time: its float32 never exists as a whole. */
export async function quantizeWhileLoading(device: Device, source: DenseTensor, staging: Tensor, choice: LoadQuantization, signal?: AbortSignal): Promise<QuantizedWeight> {
  const { name, shape } = source;
  const { blocksize } = choice;
  const n = elementsOf(shape);
  const blocks = Math.ceil(n / blocksize);
  const quantizer = new Quantizer(device, choice.type, blocksize);
  const packed = device.allocate("u8", [Math.ceil(n / 2)], name);
  const absmax = device.allocate("f32", [blocks], `${name}.absmax`);
  const values = device.allocate("f32", [Math.min(CHUNK, n)], "values");
  await readAsF32(device, source, staging, () => values, signal, (at, chunk) => {
    quantizer.quantize(values, viewTensor(packed, [Math.ceil(chunk / 2)], at / 2), viewTensor(absmax, [Math.ceil(chunk / blocksize)], at / blocksize), chunk);
  });
  device.free(values);
  const code = put(device, `${name}.quant_map`, quantizer.code);
  const plain = { kind: "4bit" as const, out: shape[0], in: shape[1], packed, absmax, code, nestedAbsmax: code, nestedCode: code, blocksize, nested: false, nestedOffset: 0 };
  const weight = choice.doubleQuant ? await doubleQuantize(device, quantizer, plain, blocks) : plain;
  quantizer.dispose();
  return weight;
}

async function doubleQuantize(device: Device, quantizer: Quantizer, weight: QuantizedWeight, blocks: number): Promise<QuantizedWeight> {
  const { label } = weight.packed;
  const nestedOffset = nestedOffsetOf((await device.read(weight.absmax)) as Float32Array);
  const absmax = device.allocate("u8", [blocks], `${label}.absmax`);
  const nestedAbsmax = device.allocate("f32", [Math.ceil(blocks / NESTED_BLOCKSIZE)], `${label}.nested_absmax`);
  quantizer.nest(weight.absmax, absmax, nestedAbsmax, blocks, nestedOffset);
  await device.finish();
  device.free(weight.absmax);
  return { ...weight, absmax, nestedAbsmax, nestedCode: put(device, `${label}.nested_quant_map`, dynamicTable()), nested: true, nestedOffset };
}

function put(device: Device, label: string, data: Float32Array): Tensor {
  const tensor = device.allocate("f32", [data.length], label);
  device.write(tensor, data);
  return tensor;
}
