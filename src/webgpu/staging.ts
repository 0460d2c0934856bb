import { bytesOf } from "../dtype.ts";
import { KernelError } from "../errors.ts";
import type { Op, Params } from "../op.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import type { Binding, Commands } from "./commands.ts";
import type { GpuBuffer, GpuMemory } from "./memory.ts";

/**
 * Finds a binding for every operand. A view that begins where no binding may begin, and a view of a buffer that the
 * same op writes through another operand, are copied into a spare buffer first, and back afterwards when written:
 * so shaders always find element 0 at index 0, and any view is allowed.
 */
export class Staging {
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #spare: (GpuBuffer | undefined)[] = []; // by operand

  constructor(memory: GpuMemory, commands: Commands) {
    this.#memory = memory;
    this.#commands = commands;
  }

  place(op: Op, tensors: readonly Tensor[], params: Params, alignment: number): { bindings: Binding[]; after: () => void } {
    const copies: { spare: GpuBuffer; tensor: Tensor; bytes: number }[] = [];
    const bindings = op.operands.map(({ dtype, shape, access }, i): Binding => {
      const tensor = tensors[i];
      const buffer = tensor.buffer as GpuBuffer;
      const bytes = Math.ceil((elementsOf(shape(params)) * bytesOf(tensor.dtype)) / 4) * 4;
      const shared = op.operands.some((other, j) => j !== i && tensors[j].buffer === buffer && (other.access !== "in" || access !== "in"));
      if (tensor.byteOffset % alignment === 0 && !shared) {
        // Everything to the end of the buffer: the same bind group then serves every number of rows.
        return { buffer, offset: tensor.byteOffset, size: buffer.bytes - tensor.byteOffset };
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
    return this.#spare[i] = this.#memory.allocate(2 ** Math.ceil(Math.log2(Math.max(bytes, 256))), "tensor", `staging of operand ${i}`);
  }
}
