import type { Device } from "../device.ts";
import { dynamicTable } from "../format/code-tables.ts";
import type { QuantizedPlan } from "../format/model-writer.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { dequantize4bit } from "../ops/index.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { handled } from "./host-memory.ts";
import { firstNonFinite, nonFiniteError, type Store, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

/** Absmax values of a tensor that are kept until their mean is known: 16 MiB, those of 1 GiB of float32. */
const KEPT_BLOCKS = 2 ** 22;

export interface NestedOptions {
  /** Instead of the mean of absmax. */
  readonly offset?: number | undefined;
  readonly keptBlocks?: number;
}

/**
 * A tensor in 4 bits. Codes are written as they come, and so is a plain absmax.
 *
 * Double quantization needs the mean of all absmax first. They are kept until then; of a tensor with too many of them
 * the values come twice, the second time for the constants alone. Chunks begin at multiples of 256 blocks.
 */
export class QuantizedTarget implements TensorTarget {
  readonly rounds: 1 | 2;
  readonly #options: TargetOptions;
  readonly #plan: QuantizedPlan;
  readonly #quantizer: Quantizer;
  readonly #scratch: Scratch;
  readonly #kept: Float32Array<ArrayBuffer> | undefined;
  readonly #nestedAbsmax: Float32Array; // f32[ceil(blocks / 256)]
  /** Nested blocks with a NaN or an infinity, which would spoil the offset of the whole tensor. */
  readonly #damaged = new Set<number>();
  #offset: number | undefined;
  #sum = 0;
  #finite = 0;
  #round = 1;

  constructor(options: TargetOptions, plan: QuantizedPlan, quantizer: Quantizer, { offset, keptBlocks = KEPT_BLOCKS }: NestedOptions = {}) {
    const { blocksize, doubleQuant } = plan;
    const blocks = Math.ceil(elementsOf(plan.shape) / blocksize);
    this.#options = options;
    this.#plan = plan;
    this.#quantizer = quantizer;
    this.#scratch = allocateScratch(options, plan, quantizer.code);
    this.#offset = doubleQuant ? offset : undefined;
    this.#kept = doubleQuant && offset === undefined && blocks <= keptBlocks ? new Float32Array(options.host.take(4 * blocks)) : undefined;
    this.rounds = doubleQuant && offset === undefined && !this.#kept ? 2 : 1;
    this.#nestedAbsmax = new Float32Array(doubleQuant ? Math.ceil(blocks / NESTED_BLOCKSIZE) : 0);
  }

  /** Values may be of any float type. */
  put(values: Tensor, at: number, n: number): Store {
    const { packed, absmax } = this.#scratch;
    const { blocksize } = this.#plan;
    const blocks = Math.ceil(n / blocksize);
    this.#quantizer.quantize(viewTensor(values, [n]), packed, absmax, n);
    const codes = this.#round === 1 ? this.#readCodes(values, at, n, blocks) : undefined;
    const constants = this.#offset === undefined ? undefined : this.#nest(at / blocksize, blocks, this.#offset);
    return async () => {
      await codes?.();
      await constants?.();
    };
  }

  #readCodes(values: Tensor, at: number, n: number, blocks: number): Store {
    const { device, host, writer, capacity } = this.#options;
    const { name, blocksize, doubleQuant } = this.#plan;
    const rooms = { packed: host.take(capacity / 2), absmax: host.take(4 * (capacity / blocksize)) };
    const reads = handled(Promise.all([
      device.read(viewTensor(this.#scratch.absmax, [blocks]), new Float32Array(rooms.absmax, 0, blocks)),
      device.read(viewTensor(this.#scratch.packed, [Math.ceil(n / 2)]), new Uint8Array(rooms.packed, 0, Math.ceil(n / 2))),
    ]));
    return async () => {
      const [absmax, packed] = (await reads) as [Float32Array, Uint8Array];
      if (firstNonFinite(absmax, "float32") >= 0) await this.#nonFinite(absmax, values, at, n);
      await writer.write(name, at / 2, packed);
      if (doubleQuant) this.#keep(absmax, at / blocksize);
      else await writer.write(`${name}.absmax`, (at / blocksize) * 4, absmax);
      for (const room of Object.values(rooms)) host.give(room);
    };
  }

  #keep(absmax: Float32Array, block: number): void {
    this.#kept?.set(absmax, block);
    for (let i = 0; i < absmax.length; i++) {
      const value = absmax[i];
      if (!Number.isFinite(value)) continue;
      this.#sum += value;
      this.#finite++;
    }
  }

  async #nonFinite(absmax: Float32Array, values: Tensor, at: number, n: number): Promise<void> {
    const { blocksize, name } = this.#plan;
    for (let block = 0; block < absmax.length; block++) {
      if (Number.isFinite(absmax[block])) continue;
      this.#damaged.add(Math.floor((at / blocksize + block) / NESTED_BLOCKSIZE));
      if (this.#options.nan === "keep") continue;
      const begin = block * blocksize;
      const data = (await this.#options.device.read(viewTensor(values, [Math.min(blocksize, n - begin)], begin))) as Float32Array | Uint16Array;
      const index = firstNonFinite(data, values.dtype === "f16" ? "float16" : "bfloat16");
      throw nonFiniteError(this.#options.where, name, at + begin + index, data instanceof Float32Array ? data[index] : "NaN or infinity");
    }
  }

  nextRound(): void {
    this.#setOffset();
    this.#round++;
  }

  #setOffset(): void {
    this.#offset = this.#finite ? Math.fround(this.#sum / this.#finite) : 0;
  }

  /** Quantizes the constants that lie in the scratch: those of `blocks` blocks from `block` on. */
  #nest(block: number, blocks: number, offset: number): Store {
    const { device, host, writer, capacity } = this.#options;
    const { absmax, q, nested } = this.#scratch;
    const groups = Math.ceil(blocks / NESTED_BLOCKSIZE);
    this.#quantizer.nest(absmax, q, nested, blocks, offset);
    const room = host.take(capacity / this.#plan.blocksize);
    const reads = handled(Promise.all([
      device.read(viewTensor(q, [blocks]), new Uint8Array(room, 0, blocks)),
      device.read(viewTensor(nested, [groups]), this.#nestedAbsmax.subarray(block / NESTED_BLOCKSIZE, block / NESTED_BLOCKSIZE + groups)),
    ]));
    return async () => {
      const [bytes, constants] = (await reads) as [Uint8Array, Float32Array];
      this.#nestedAbsmax.set(constants, block / NESTED_BLOCKSIZE);
      await writer.write(`${this.#plan.name}.absmax`, block, bytes);
      host.give(room);
    };
  }

  async finish(): Promise<void> {
    const { writer } = this.#options;
    const { name, quantType, blocksize, dtype, shape, doubleQuant } = this.#plan;
    if (this.#kept) await this.#nestKept(this.#kept);
    for (const damaged of this.#damaged) this.#nestedAbsmax[damaged] = NaN;
    await Promise.all([
      writer.write(`${name}.quant_map`, 0, this.#quantizer.code),
      ...(doubleQuant ? [writer.write(`${name}.nested_absmax`, 0, this.#nestedAbsmax), writer.write(`${name}.nested_quant_map`, 0, dynamicTable())] : []),
    ]);
    const nested = doubleQuant ? { nested: { blocksize: NESTED_BLOCKSIZE as 256, offset: this.#offset! } } : {};
    await writer.writeState(name, { quantType, blocksize, dtype, shape, ...nested });
  }

  async #nestKept(kept: Float32Array): Promise<void> {
    this.#setOffset();
    const size = elementsOf(this.#scratch.absmax.shape);
    for (let block = 0; block < kept.length; block += size) {
      const part = kept.subarray(block, block + size);
      this.#options.device.write(this.#scratch.absmax, part);
      await this.#nest(block, part.length, this.#offset!)();
    }
  }

  stored(y: Tensor, n: number): void {
    const { packed, absmax, q, nested, code, nestedCode } = this.#scratch;
    const { blocksize, doubleQuant } = this.#plan;
    const operands = { packed, absmax: doubleQuant ? q : absmax, code, nestedAbsmax: nested, nestedCode, y };
    this.#options.device.run(dequantize4bit, operands, { n, blocksize, nested: doubleQuant ? 1 : 0, nestedOffset: this.#offset ?? 0, round: 0 });
  }

  dispose(): void {
    for (const tensor of Object.values(this.#scratch)) this.#options.device.free(tensor);
    if (this.#kept) this.#options.host.give(this.#kept.buffer);
  }
}

interface Scratch {
  readonly packed: Tensor; // u8[capacity / 2]
  readonly absmax: Tensor; // f32[capacity / blocksize]
  readonly q: Tensor; // u8[capacity / blocksize]
  readonly nested: Tensor; // f32[capacity / blocksize / 256]
  readonly code: Tensor; // f32[16]
  readonly nestedCode: Tensor; // f32[256]
}

function allocateScratch({ device, capacity }: TargetOptions, { name, blocksize }: QuantizedPlan, table: Float32Array): Scratch {
  const blocks = Math.ceil(capacity / blocksize);
  return {
    packed: device.allocate("u8", [Math.ceil(capacity / 2)], `${name} codes`),
    absmax: device.allocate("f32", [blocks], `${name}.absmax`),
    q: device.allocate("u8", [blocks], `${name}.absmax`),
    nested: device.allocate("f32", [Math.ceil(blocks / NESTED_BLOCKSIZE)], `${name}.nested_absmax`),
    code: putFloats(device, table), nestedCode: putFloats(device, dynamicTable()),
  };
}

function putFloats(device: Device, data: Float32Array): Tensor {
  const tensor = device.allocate("f32", [data.length], "code table");
  device.write(tensor, data);
  return tensor;
}
