import type { SinkFolder } from "../io/types.ts";
import { encodeQuantState, maxQuantStateBytes, NESTED_BLOCKSIZE, quantStateSuffix, type QuantState } from "./quant-state.ts";
import { bytesOfSpec, type TensorSpec } from "./safetensors-header.ts";
import { SafetensorsWriter, type LateTensor } from "./safetensors-writer.ts";
import { INDEX_FILE, MAX_SHARD_BYTES, planShards, shardIndex, type Shard } from "./shards.ts";

export type FloatDtype = "f32" | "f16" | "bf16";

/** Names of dtypes as in config.json and quant_state. */
export type FloatName = QuantState["dtype"];
export const FLOAT_NAMES: Readonly<Record<FloatDtype, FloatName>> = { f32: "float32", f16: "float16", bf16: "bfloat16" };

export interface DensePlan {
  readonly kind: "dense";
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: FloatName;
}

/** A weight in 4 bits: its codes under its own name, its constants beside it. */
export interface QuantizedPlan extends Omit<QuantState, "nested"> {
  readonly kind: "4bit";
  readonly name: string;
  readonly doubleQuant: boolean;
}

export type TensorPlan = DensePlan | QuantizedPlan;

const STORED = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

interface Unit {
  readonly specs: readonly TensorSpec[];
  readonly late: readonly LateTensor[];
  readonly bytes: number;
}

function unitOf(plan: TensorPlan): Unit {
  const specs = plan.kind === "dense" ? [{ name: plan.name, dtype: STORED[plan.dtype], shape: plan.shape }] : quantizedSpecs(plan);
  const late = plan.kind === "dense" ? [] : [{ name: plan.name + quantStateSuffix(plan.quantType), maxBytes: maxQuantStateBytes(plan, plan.doubleQuant) }];
  const bytes = specs.reduce((sum, spec) => sum + bytesOfSpec(spec), 0) + late.reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  return { specs, late, bytes };
}

function quantizedSpecs({ name, shape, blocksize, doubleQuant }: QuantizedPlan): TensorSpec[] {
  const n = shape.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(n / blocksize);
  const spec = (part: string, dtype: TensorSpec["dtype"], ...size: number[]): TensorSpec => ({ name: name + part, dtype, shape: size });
  const constants = [spec(".absmax", doubleQuant ? "U8" : "F32", blocks), spec(".quant_map", "F32", 16)];
  if (doubleQuant) constants.push(spec(".nested_absmax", "F32", Math.ceil(blocks / NESTED_BLOCKSIZE)), spec(".nested_quant_map", "F32", 256));
  return [spec("", "U8", Math.ceil(n / 2), 1), ...constants];
}

/**
 * The weights of a model folder, in one safetensors file or in several, with the keys of Transformers and bitsandbytes.
 * Bytes come in pieces, a file after the other, so tensors must be finished in the order of the plans.
 */
export class ModelWriter {
  readonly #output: SinkFolder;
  readonly #shards: readonly Shard<Unit>[];
  readonly #fileOf = new Map<string, number>();
  #current = -1;
  #writer: SafetensorsWriter | undefined;
  #bytes = 0;
  #tensorBytes = 0;

  constructor(output: SinkFolder, plans: readonly TensorPlan[], maxShardBytes = MAX_SHARD_BYTES) {
    this.#output = output;
    this.#shards = planShards(plans.map(unitOf), maxShardBytes);
    this.#shards.forEach(({ units }, i) => units.forEach(({ specs, late }) => [...specs, ...late].forEach(({ name }) => this.#fileOf.set(name, i))));
  }

  /** Bytes of one key, from byte `offset` of it on. @throws MemoryError when the disk is full. */
  async write(key: string, offset: number, data: Uint8Array | Uint16Array | Float32Array): Promise<void> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    await (await this.#open(key)).write(key, offset, bytes);
    this.#tensorBytes += bytes.length;
  }

  async writeState(name: string, state: QuantState): Promise<void> {
    const key = name + quantStateSuffix(state.quantType);
    const bytes = encodeQuantState(state);
    (await this.#open(key)).writeLate(key, bytes);
    this.#tensorBytes += bytes.length;
  }

  async #open(key: string): Promise<SafetensorsWriter> {
    const file = this.#fileOf.get(key) ?? this.#current;
    if (file !== this.#current || !this.#writer) {
      await this.#close();
      const { file: name, units } = this.#shards[file];
      this.#writer = new SafetensorsWriter(await this.#output.create(name), units.flatMap(({ specs }) => specs), units.flatMap(({ late }) => late));
      this.#current = file;
    }
    return this.#writer;
  }

  async #close(): Promise<void> {
    await this.#writer?.finish();
    this.#bytes += this.#writer?.size ?? 0;
    this.#writer = undefined;
  }

  /** @returns the bytes of all files of weights. */
  async finish(): Promise<number> {
    await this.#close();
    if (this.#shards.length > 1) {
      const map = new Map([...this.#fileOf].map(([key, i]) => [key, this.#shards[i].file]));
      await this.#output.writeText(INDEX_FILE, shardIndex(map, this.#tensorBytes));
    }
    return this.#bytes;
  }
}
