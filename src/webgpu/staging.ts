import { bytesOf } from "../dtype.ts";
import { KernelError, MemoryError } from "../errors.ts";
import type { Op, Params } from "../op.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import type { Binding, Commands } from "./commands.ts";
import { mib, type GpuBuffer, type GpuMemory } from "./memory.ts";

/**
 * Finds a binding for every operand. A view that begins where no binding may begin, and a view of a buffer that the
 * same op writes through another operand, are copied into a spare buffer first, and back afterwards when written:
 * so shaders always find element 0 at index 0, and any view is allowed.
 */
export class Staging {
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #alignment: number;
  /** The most bytes of one binding. */
  readonly largest: number;
  readonly #spare: (GpuBuffer | undefined)[] = []; // by operand

  constructor(memory: GpuMemory, commands: Commands, limits: GPUSupportedLimits) {
    this.#memory = memory;
    this.#commands = commands;
    this.#alignment = limits.minStorageBufferOffsetAlignment;
    this.largest = Math.floor(limits.maxStorageBufferBindingSize / 16) * 16;
  }

  /** @throws MemoryError when an operand exceeds what a shader can see at once. */
  place(op: Op, tensors: readonly Tensor[], params: Params): { bindings: Binding[]; after: () => void } {
    const copies: { spare: GpuBuffer; tensor: Tensor; bytes: number }[] = [];
    const bindings = op.operands.map(({ dtype, shape, access }, i): Binding => {
      const tensor = tensors[i];
      const buffer = tensor.buffer as GpuBuffer;
      const bytes = Math.ceil((elementsOf(shape(params)) * bytesOf(tensor.dtype)) / 4) * 4;
      if (bytes > this.largest) {
        throw new MemoryError(op.name, `${tensor.label} is too large for one binding`, { expected: `at most ${mib(this.largest)}, this GPU's maxStorageBufferBindingSize`, got: mib(bytes), hint: "use a smaller batch or max_length" });
      }
      const shared = op.operands.some((other, j) => j !== i && tensors[j].buffer === buffer && (other.access !== "in" || access !== "in"));
      if (tensor.byteOffset % this.#alignment === 0 && !shared) {
        // Everything to the end of the buffer: the same bind group then serves every number of rows.
        return { buffer, offset: tensor.byteOffset, size: Math.min(buffer.bytes - tensor.byteOffset, this.largest) };
      }
      if (tensor.byteOffset % 4) throw new KernelError(op.name, `view of ${tensor.label} (${String(dtype)})`, { expected: "a first byte that is a multiple of 4", got: tensor.byteOffset });
      const spare = this.#spareOf(i, bytes);
      if (bytes) this.#commands.copy(buffer, tensor.byteOffset, spare, 0, bytes);
      if (bytes && access !== "in") copies.push({ spare, tensor, bytes });
      return { buffer: spare, offset: 0, size: spare.bytes };
    });
    const after = (): void => {
      for (const { spare, tensor, bytes } of copies) this.#commands.copy(spare, 0, tensor.buffer as GpuBuffer, tensor.byteOffset, bytes);
    };
    return { bindings, after };
  }

  #spareOf(i: number, bytes: number): GpuBuffer {
    const have = this.#spare[i];
    if (have && have.bytes >= bytes) return have;
    if (have) this.#commands.free(have);
    return this.#spare[i] = this.#memory.allocate(2 ** Math.ceil(Math.log2(Math.max(bytes, 256))), "own", `staging of operand ${i}`);
  }
}
