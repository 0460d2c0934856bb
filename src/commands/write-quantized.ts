import type { Device } from "../device.ts";
import { dynamicTable } from "../format/code-tables.ts";
import type { QuantizedPlan } from "../format/model-writer.ts";
import { NESTED_BLOCKSIZE, type QuantState } from "../format/quant-state.ts";
import { dequantize4bit } from "../ops/index.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { firstNonFinite, nonFiniteError, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

export interface NestedOptions {
  /** Instead of the mean of absmax. */
  readonly offset?: number | undefined;
  /** Room for the absmax values of a tensor until their mean is known. */
  readonly keep?: Float32Array | undefined;
}

/**
 * A tensor in 4 bits. Codes are written as they come, and so is a plain absmax.
 *
 * Double quantization needs the mean of all absmax first. They are kept until then; where there is no room for them
 * the values come twice, the second time for the constants alone. Chunks begin at multiples of 256 blocks.
 */
export class QuantizedTarget implements TensorTarget {
  readonly rounds: 1 | 2;
  readonly #options: TargetOptions;
  readonly #plan: QuantizedPlan;
  readonly #quantizer: Quantizer;
  readonly #scratch: Scratch;
  readonly #codes: Uint8Array;
  readonly #absmax: Float32Array;
  readonly #kept: Float32Array | undefined;
  readonly #nestedAbsmax: Float32Array; // f32[ceil(blocks / 256)]
  /** Nested blocks with a NaN or an infinity, which would spoil the offset of the whole tensor. */
  readonly #damaged = new Set<number>();
  #offset: number | undefined;
  #sum = 0;
  #finite = 0;
  #round = 1;

  constructor(options: TargetOptions, plan: QuantizedPlan, quantizer: Quantizer, { offset, keep }: NestedOptions = {}) {
    const { blocksize, doubleQuant } = plan;
    const blocks = Math.ceil(elementsOf(plan.shape) / blocksize);
    this.#options = options;
    this.#plan = plan;
    this.#quantizer = quantizer;
    this.#scratch = allocateScratch(options, plan, quantizer.code);
    this.#codes = new Uint8Array(options.host, 0, options.capacity / 2);
    this.#absmax = new Float32Array(options.host, options.capacity / 2, options.capacity / blocksize);
    this.#offset = doubleQuant ? offset : undefined;
    this.#kept = doubleQuant && offset === undefined && keep && blocks <= keep.length ? keep.subarray(0, blocks) : undefined;
    this.rounds = doubleQuant && offset === undefined && !this.#kept ? 2 : 1;
    this.#nestedAbsmax = new Float32Array(doubleQuant ? Math.ceil(blocks / NESTED_BLOCKSIZE) : 0);
  }

  async put(values: Tensor, at: number, n: number): Promise<void> {
    const { packed, absmax } = this.#scratch;
    const blocks = Math.ceil(n / this.#plan.blocksize);
    this.#quantizer.quantize(viewTensor(values, [n]), packed, absmax, n);
    if (this.#round === 1) await this.#writeCodes(values, at, n, blocks);
    if (this.#offset !== undefined) await this.#nest(at / this.#plan.blocksize, blocks, this.#offset);
  }

  async #writeCodes(values: Tensor, at: number, n: number, blocks: number): Promise<void> {
    const { device, writer } = this.#options;
    const { name, blocksize, doubleQuant } = this.#plan;
    const absmax = (await device.read(viewTensor(this.#scratch.absmax, [blocks]), this.#absmax)) as Float32Array;
    if (firstNonFinite(absmax, "float32") >= 0) await this.#nonFinite(absmax, values, at, n);
    await writer.write(name, at / 2, (await device.read(viewTensor(this.#scratch.packed, [Math.ceil(n / 2)]), this.#codes)) as Uint8Array);
    if (!doubleQuant) return writer.write(`${name}.absmax`, (at / blocksize) * 4, absmax);
    this.#kept?.set(absmax, at / blocksize);
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
      const data = (await this.#options.device.read(viewTensor(values, [Math.min(blocksize, n - begin)], begin))) as Float32Array;
      const index = firstNonFinite(data, "float32");
      throw nonFiniteError(this.#options.where, name, at + begin + index, data[index]);
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
  async #nest(block: number, blocks: number, offset: number): Promise<void> {
    const { device, writer } = this.#options;
    const { absmax, q, nested } = this.#scratch;
    this.#quantizer.nest(absmax, q, nested, blocks, offset);
    await writer.write(`${this.#plan.name}.absmax`, block, (await device.read(viewTensor(q, [blocks]))) as Uint8Array);
    const constants = (await device.read(viewTensor(nested, [Math.ceil(blocks / NESTED_BLOCKSIZE)]))) as Float32Array;
    this.#nestedAbsmax.set(constants, block / NESTED_BLOCKSIZE);
  }

  async finish(): Promise<void> {
    const { device, writer } = this.#options;
    const { name, quantType, blocksize, dtype, shape } = this.#plan;
    await writer.write(`${name}.quant_map`, 0, this.#quantizer.code);
    if (!this.#plan.doubleQuant) return writer.writeState(name, { quantType, blocksize, dtype, shape });
    if (this.#kept) {
      this.#setOffset();
      const size = elementsOf(this.#scratch.absmax.shape);
      for (let block = 0; block < this.#kept.length; block += size) {
        const part = this.#kept.subarray(block, block + size);
        device.write(this.#scratch.absmax, part);
        await this.#nest(block, part.length, this.#offset!);
      }
    }
    for (const damaged of this.#damaged) this.#nestedAbsmax[damaged] = NaN;
    await writer.write(`${name}.nested_absmax`, 0, this.#nestedAbsmax);
    await writer.write(`${name}.nested_quant_map`, 0, dynamicTable());
    const state: QuantState = { quantType, blocksize, dtype, shape, nested: { blocksize: NESTED_BLOCKSIZE, offset: this.#offset! } };
    await writer.writeState(name, state);
  }

  stored(y: Tensor, n: number): void {
    const { packed, absmax, q, nested, code, nestedCode } = this.#scratch;
    const { blocksize, doubleQuant } = this.#plan;
    const operands = { packed, absmax: doubleQuant ? q : absmax, code, nestedAbsmax: nested, nestedCode, y };
    this.#options.device.run(dequantize4bit, operands, { n, blocksize, nested: doubleQuant ? 1 : 0, nestedOffset: this.#offset ?? 0, round: 0 });
  }

  dispose(): void {
    for (const tensor of Object.values(this.#scratch)) this.#options.device.free(tensor);
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
