import { bytesOf, viewOf, type DType, type TypedArray } from "../dtype.ts";
import { MemoryError } from "../errors.ts";
import { elementsOf, type DeviceBuffer, type Tensor } from "../tensor.ts";

const PAGE = 65536;
const ALIGN = 64; // a cache line; also what SIMD loads like best

export class WasmBuffer implements DeviceBuffer {
  readonly address: number;
  readonly bytes: number;
  constructor(address: number, bytes: number) {
    this.address = address;
    this.bytes = bytes;
  }
}

export function addressOf(tensor: Tensor): number {
  return (tensor.buffer as WasmBuffer).address + tensor.byteOffset;
}

/** First-fit allocator over one linear memory. The only place that touches `memory.buffer`. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  #free: { address: number; bytes: number }[] = []; // sorted by address, neighbours merged
  #end: number; // first byte that was never handed out
  #live = 0;
  #peak = 0;
  #buffers = 0;
  readonly #limit: number;

  constructor(memory: WebAssembly.Memory, base: number, limit: number) {
    this.memory = memory;
    this.#end = Math.ceil(base / ALIGN) * ALIGN;
    this.#limit = limit;
  }

  get live(): number { return this.#live; }
  get peak(): number { return this.#peak; }
  get buffers(): number { return this.#buffers; }
  get limit(): number { return this.#limit; }

  allocate(bytes: number, label: string): WasmBuffer {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    const address = this.#fromFree(size) ?? this.#fromEnd(size, label);
    this.#live += size;
    this.#peak = Math.max(this.#peak, this.#live);
    this.#buffers++;
    return new WasmBuffer(address, size);
  }

  #fromFree(size: number): number | undefined {
    const i = this.#free.findIndex((hole) => hole.bytes >= size);
    if (i < 0) return undefined;
    const hole = this.#free[i];
    const { address } = hole;
    if (hole.bytes === size) this.#free.splice(i, 1);
    else { hole.address += size; hole.bytes -= size; }
    return address;
  }

  #fromEnd(size: number, label: string): number {
    const address = this.#end;
    const end = address + size;
    if (end > this.#limit) {
      throw new MemoryError("wasm memory", `no room for ${label}`, {
        expected: `at most ${mib(this.#limit)} in all`, got: mib(end),
        hint: "use a smaller batch, a shorter max_length or gradient checkpointing",
      });
    }
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE));
      } catch (cause) {
        throw new MemoryError("wasm memory", `could not grow for ${label}`, { expected: mib(end), got: "refused by the engine", cause });
      }
    }
    this.#end = end;
    return address;
  }

  free(buffer: WasmBuffer): void {
    this.#live -= buffer.bytes;
    this.#buffers--;
    const list = this.#free;
    let i = list.findIndex((hole) => hole.address > buffer.address);
    if (i < 0) i = list.length;
    list.splice(i, 0, { address: buffer.address, bytes: buffer.bytes });
    if (i + 1 < list.length && list[i].address + list[i].bytes === list[i + 1].address) {
      list[i].bytes += list[i + 1].bytes;
      list.splice(i + 1, 1);
    }
    if (i > 0 && list[i - 1].address + list[i - 1].bytes === list[i].address) {
      list[i - 1].bytes += list[i].bytes;
      list.splice(i, 1);
    }
    const last = list[list.length - 1];
    if (last.address + last.bytes === this.#end) {
      this.#end = last.address;
      list.pop();
    }
  }

  /** A view that is valid only until the next allocation. */
  view(dtype: DType, address: number, shape: readonly number[]): TypedArray {
    return viewOf(dtype, this.memory.buffer, address, elementsOf(shape));
  }

  fill(address: number, bytes: number, value: number): void {
    new Uint8Array(this.memory.buffer, address, bytes).fill(value);
  }

  bytesFor(dtype: DType, shape: readonly number[]): number {
    return elementsOf(shape) * bytesOf(dtype);
  }
}

function mib(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
