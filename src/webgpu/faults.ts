import { DeviceError, KernelError, MemoryError, type NibbleError } from "../errors.ts";

const LOSS_TOLD = 200; // milliseconds

/**
 * Errors that the GPU reports late. The first one is kept: what was computed after it is worthless,
 * so every later read throws it.
 */
export class Faults {
  readonly #device: GPUDevice;
  #first: NibbleError | undefined;
  #firstOrder = Infinity;
  #order = 0;
  #pending = new Set<Promise<void>>();
  #closing = false;
  /** Resolves when the device is lost, but not when it was disposed of. */
  readonly lost: Promise<DeviceError>;

  constructor(device: GPUDevice, name: string) {
    this.#device = device;
    this.lost = new Promise((resolve) => {
      void device.lost.then(({ reason, message }) => {
        if (this.#closing) return;
        const error = new DeviceError("webgpu", `the device was lost (${name})`, {
          got: message || reason || "no reason given",
          hint: "create a new device and go on from the last checkpoint; a smaller batch or max_length may avoid it",
        });
        this.report(error, -1); // all that was reported before is a consequence
        resolve(error);
      });
    });
    device.onuncapturederror = ({ error }) => this.report(faultOf("webgpu", error));
  }

  /** @param order of the cause: what was asked for first went wrong first, whenever the GPU says so. */
  report(error: NibbleError, order = this.#order++): void {
    if (order >= this.#firstOrder) return;
    this.#first = error;
    this.#firstOrder = order;
  }

  /** Runs `work` inside an error scope; what it caught is reported as `make` says. */
  scoped<T>(filter: GPUErrorFilter, work: () => T, make: (error: GPUError) => NibbleError | Promise<NibbleError>): T {
    this.#device.pushErrorScope(filter);
    const result = work();
    this.pop(make);
    return result;
  }

  pop(make: (error: GPUError) => NibbleError | Promise<NibbleError>): void {
    const order = this.#order++;
    const settled = this.#device.popErrorScope().then(async (error) => {
      if (error) this.report(await make(error), order);
    }, () => undefined); // rejected after the device was lost, which has its own report
    const entry = settled.finally(() => this.#pending.delete(entry));
    this.#pending.add(entry);
  }

  /** The first error, if it is known already. */
  get first(): NibbleError | undefined { return this.#first; }

  /** @throws the first error, if it is known already. */
  check(): void {
    if (this.#first) throw this.#first;
  }

  /** Waits for every scope that was opened so far. @throws the first error */
  async settle(): Promise<void> {
    await Promise.all(this.#pending);
    this.check();
  }

  /** What made the GPU refuse a read: the loss of the device is told at about the same time. */
  async explain(cause: unknown): Promise<NibbleError> {
    await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, LOSS_TOLD))]);
    await Promise.all(this.#pending);
    return this.#first ?? new DeviceError("webgpu", "the GPU gave nothing back", { got: cause instanceof Error ? cause.message : cause, hint: "create a new device and go on from the last checkpoint", cause });
  }

  close(): void {
    this.#closing = true;
    this.#device.onuncapturederror = null;
  }
}

/** A late error that no kernel and no allocation can be named for. */
export function faultOf(where: string, error: GPUError): NibbleError {
  const kind = error.constructor.name;
  if (kind === "GPUOutOfMemoryError") return new MemoryError(where, "out of GPU memory", { got: error.message, hint: "use a smaller batch, a shorter max_length or gradient checkpointing" });
  return new KernelError(where, "the GPU refused a command", { got: error.message });
}
