import type { Device, DeviceMemory } from "../../device.ts";
import { bytesOf, type DType, type TypedArray } from "../../dtype.ts";
import { DeviceError, MemoryError } from "../../errors.ts";
import type { Op, Operands, Params } from "../../op.ts";
import { elementsOf, type DeviceBuffer, type Tensor } from "../../tensor.ts";

/** Bytes that all that is measured together may take. */
export interface Budget {
  readonly total: number;
  used: number;
}

/**
 * A device seen by what is measured on it: adds up the cost of its ops, says which op the device has no kernel for,
 * keeps to a budget, and gives back in the end whatever was allocated.
 */
export class Meter implements Device {
  /** Costs of the ops that were run, by their contracts. */
  flops = 0;
  bytes = 0;
  /** Why what was to be measured can't run here. */
  missing: string | undefined;
  readonly #device: Device;
  readonly #budget: Budget;
  readonly #live = new Map<DeviceBuffer, Tensor>();

  constructor(device: Device, budget: Budget) {
    this.#device = device;
    this.#budget = budget;
  }

  get kind(): Device["kind"] { return this.#device.kind; }
  get description(): string { return this.#device.description; }
  get build(): string { return this.#device.build; }
  get memory(): DeviceMemory { return this.#device.memory; }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const bytes = elementsOf(shape) * bytesOf(dtype);
    const { total, used } = this.#budget;
    if (used + bytes > total) {
      const mib = (n: number): string => `${Math.ceil(n / 2 ** 20)} MiB`;
      throw new MemoryError("bench", `no room for ${label}`, { expected: `at most ${mib(total)} in all`, got: mib(used + bytes), hint: "name a smaller size" });
    }
    const tensor = this.#device.allocate(dtype, shape, label);
    this.#live.set(tensor.buffer, tensor);
    this.#budget.used += bytes;
    return tensor;
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined> {
    try {
      return this.allocate(dtype, shape, label);
    } catch (error) {
      if (error instanceof MemoryError) return undefined;
      throw error;
    }
  }

  free(tensor: Tensor): void {
    const whole = this.#live.get(tensor.buffer);
    if (whole) this.#budget.used -= elementsOf(whole.shape) * bytesOf(whole.dtype);
    this.#live.delete(tensor.buffer);
    this.#device.free(tensor);
  }

  write(tensor: Tensor, data: TypedArray): void {
    this.#device.write(tensor, data);
  }

  reserve<O extends string, P extends string>(op: Op<O, P>, params: Params<P>): void {
    this.#device.reserve(op, params);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    this.require(op as Op);
    const { flops, bytes } = op.cost(params);
    this.flops += flops;
    this.bytes += bytes;
    this.#device.run(op, operands, params);
  }

  /** @throws DeviceError when the device has no kernel for the op. */
  require({ name, devices }: Pick<Op, "name" | "devices">): void {
    const { kind } = this.#device;
    if (kind === "reference" || devices.includes(kind)) return;
    this.missing = `${name} has no ${kind} kernel`;
    throw new DeviceError("bench", this.missing, { expected: devices.join(" or "), got: kind });
  }

  read(tensor: Tensor): Promise<TypedArray> {
    return this.#device.read(tensor);
  }

  finish(): Promise<void> {
    return this.#device.finish();
  }

  /** Frees what is left; the device itself lives on. */
  async dispose(): Promise<void> {
    for (const tensor of [...this.#live.values()]) this.free(tensor);
    await this.#device.finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
