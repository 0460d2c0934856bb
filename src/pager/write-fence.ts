import type { Device } from "../device.ts";

/** Keeps the copies that wait to be written to the device few. */
export class WriteFence {
  readonly #device: Device;
  #behind: Promise<void> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Before a write: starts what was queued. The CPU ends it first, a GPU may be one write behind, so at most one waits with a copy of its bytes. */
  async pass(): Promise<void> {
    const queued = this.#device.finish();
    queued.catch(() => undefined); // whoever reads a result is told
    await (this.#device.kind === "wasm" ? queued : this.#behind);
    this.#behind = queued;
  }
}
