import { KernelError } from "../errors.ts";
import { MODE_READ } from "./constants.ts";
import type { Commands } from "./commands.ts";
import type { Faults } from "./faults.ts";
import type { GpuBuffer, GpuMemory } from "./memory.ts";

const LEAST = 65536; // one size serves every small read of a step
const MOST = 16 * 2 ** 20; // larger tensors come in pieces
const MARK = 4; // bytes
const ROOM_FOR_MARK = 16; // sizes of buffers are multiples of that
const MARKS = Uint32Array.from({ length: 1024 }, (_, i) => Math.imul(i + 1, 0x9e3779b1));

/**
 * Copies of GPU memory for the host, through mappable buffers that are kept and used again. Behind each copy comes the next
 * of a row of marks: a driver that takes commands and does nothing leaves what an earlier read brought, and is found out.
 */
export class Readback {
  readonly #marks: GpuBuffer; // u32[MARKS.length]
  #next = 0;
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #faults: Faults;
  #idle: GpuBuffer[] = [];

  constructor(device: GPUDevice, memory: GpuMemory, commands: Commands, faults: Faults) {
    this.#memory = memory;
    this.#commands = commands;
    this.#faults = faults;
    this.#marks = memory.allocate(MARKS.byteLength, "own", "marks of reads");
    device.queue.writeBuffer(this.#marks.gpu, 0, MARKS);
  }

  /**
   * @param offset multiple of 4
   * @param bytes multiple of 4
   * @param into as many bytes, to be filled and returned
   * @throws the first error that the GPU reported up to here
   */
  async read(from: GpuBuffer, offset: number, bytes: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const pieces: Promise<void>[] = [];
    const result = into ?? new Uint8Array(bytes);
    // All copies are recorded now: what is queued after this call does not show in the result.
    for (let at = 0; at < bytes; at += MOST) {
      const size = Math.min(MOST, bytes - at);
      const to = this.#take(size);
      const mark = this.#next++ % MARKS.length;
      this.#commands.copy(from, offset + at, to, 0, size);
      this.#commands.copy(this.#marks, MARK * mark, to, size, MARK);
      pieces.push(this.#fetch(to, result.subarray(at, at + size), MARKS[mark]));
    }
    this.#commands.flush();
    await Promise.all(pieces);
    return result;
  }

  #take(size: number): GpuBuffer {
    // The smallest that will do, but small reads leave large ones to those who have planned with them.
    const most = size <= LEAST ? LEAST + ROOM_FOR_MARK : Infinity;
    const best = this.#idle.filter(({ bytes }) => bytes >= size + MARK && bytes <= most).sort((a, b) => a.bytes - b.bytes)[0];
    if (best) return this.#idle.splice(this.#idle.indexOf(best), 1)[0];
    return this.#memory.allocate(Math.min(MOST, Math.max(LEAST, 2 ** Math.ceil(Math.log2(size)))) + ROOM_FOR_MARK, "readback", "read-back");
  }

  async #fetch(from: GpuBuffer, to: Uint8Array, mark: number): Promise<void> {
    await undefined; // map only after the copy was submitted
    try {
      await from.gpu.mapAsync(MODE_READ, 0, to.length + MARK);
    } catch (cause) {
      throw await this.#faults.explain(cause);
    }
    const mapped = from.gpu.getMappedRange(0, to.length + MARK);
    to.set(new Uint8Array(mapped, 0, to.length));
    const [came] = new Uint32Array(mapped, to.length, 1);
    from.gpu.unmap();
    this.#idle.push(from);
    await this.#faults.settle();
    if (came === mark) return;
    this.#faults.report(new KernelError("webgpu", "the GPU did not do what it was told", { expected: "a copy", got: "what was there before", hint: "the driver may have given up: try again, another driver, or the device wasm" }));
    this.#faults.check();
  }
}
