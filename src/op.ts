import type { DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { elementsOf, type Tensor } from "./tensor.ts";

export type Params<P extends string = string> = Readonly<Record<P, number>>;
export type Operands<O extends string = string> = Readonly<Record<O, Tensor>>;

/** A pointer argument of the Wasm export and `@binding(1..n)` of the shader, in this order. */
export interface Operand<O extends string = string, P extends string = string> {
  readonly name: O;
  readonly dtype: DType | readonly DType[];
  readonly access: "in" | "out" | "inout";
  /** Elements that the kernel touches; the tensor given may be longer (a prefix is used). */
  readonly shape: (params: Params<P>) => readonly number[];
}

/** A trailing scalar of the Wasm export and a field of `struct Params` of the shader. */
export interface Param<P extends string = string> {
  readonly name: P;
  readonly type: "u32" | "i32" | "f32";
}

/** How far a device may be from the plain reference in `test/ops/`. */
export type Agreement = "bits" | { readonly relative: number; readonly absolute: number };

/** A WGSL file as text; the name is for error messages. */
export interface GpuSource {
  readonly file: string;
  readonly text: string;
}

/** How the matrix products of a GPU are cut. The sums are the same, so results do not depend on it; times do. */
export const TILINGS = ["registers", "workgroup", "large"] as const;
export type Tiling = (typeof TILINGS)[number];

/**
 * Shaders that use a feature not every adapter has and give other results, within bounds of their own: never chosen, only
 * asked for. `f16`: factors of matrix products are staged in half precision. `subgroups`: sums are added up by subgroups.
 */
export const VARIANTS = ["f16", "subgroups"] as const;
export type Variant = (typeof VARIANTS)[number];

/** `f16` rounds what is staged in workgroup memory. */
export function tilingsOf(variants: readonly Variant[]): readonly Tiling[] {
  return variants.includes("f16") ? TILINGS.filter((tiling) => tiling !== "registers") : TILINGS;
}

/** One dispatch of an op's shader. */
export interface GpuPass<O extends string = string, P extends string = string> {
  readonly entry: string;
  /** Shared files that are compiled together with `code`. */
  readonly lib?: readonly GpuSource[];
  /** Values of the shader's `override` constants. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Left out on a device that has chosen another tiling. */
  readonly tiling?: Tiling;
  /** Left out on a device that has a variant which is false here, or lacks one which is true. */
  readonly variants?: Readonly<Partial<Record<Variant, boolean>>>;
  /** Operands that the entry point uses, by default all: a device promises no more than 8 storage buffers to one shader. */
  readonly operands?: readonly O[];
  /** Whether the entry point uses the scratch buffer, `@binding(operands of the op + 1)`. */
  readonly scratch?: boolean;
  /** 0 leaves the pass out. The device folds the number into two dimensions, `gpu/lib/grid.wgsl` unfolds it. */
  readonly workgroups: (params: Params<P>) => number;
}

export interface GpuSplit<O extends string = string, P extends string = string> {
  readonly operand: O;
  /** Rows of that operand, all of one size. */
  readonly rows: (params: Params<P>) => number;
  /** The call for its rows [begin, end) alone. */
  readonly piece: (params: Params<P>, begin: number, end: number) => Params<P>;
  /** An output f32[m, rows] of which a piece computes columns; without it, pieces write where the whole call would. */
  readonly columns?: O;
}

/** How a GPU computes an op: `struct Params` at `@binding(0)`, operand i at `@binding(i + 1)`. */
export interface GpuKernel<O extends string = string, P extends string = string> {
  /** Text of `gpu/<name>.wgsl`. */
  readonly code: string;
  /** In this order, each after the one before has finished. */
  readonly passes: readonly GpuPass<O, P>[];
  /** Bytes of the scratch buffer that the passes of one call share. */
  readonly scratch?: (params: Params<P>) => number;
  /**
   * The param that counts independent rows: every operand has a part for each, one after the other, or serves all. A call
   * with operands larger than the device lets one binding be is cut there; what nothing cuts is refused.
   */
  readonly rows?: P;
  /** Rows are addends of one result: pieces after the first run with the op's `accumulate`. */
  readonly addsRows?: boolean;
  /** Pieces are multiples of so many rows; default 64, which begin where any GPU lets a binding begin. */
  readonly rowsUnit?: number;
  /** Another way to cut, for an operand that all rows use. */
  readonly split?: GpuSplit<O, P>;
  /** How far a device with this variant may be from the reference. */
  readonly agreements?: Readonly<Partial<Record<Variant, Agreement>>>;
}

/** The contract of one computation: what both kernels, the tests and the benchmarks agree on. */
export interface Op<O extends string = string, P extends string = string> {
  /** Also the file name in every folder; the Wasm export is its camelCase. */
  readonly name: string;
  readonly operands: readonly Operand<O, P>[];
  readonly params: readonly Param<P>[];
  /** Conditions beyond dtypes and sizes. @throws ShapeError */
  readonly check?: (params: Params<P>, operands: Operands<O>) => void;
  /** Independent pieces of work; any order and any grouping of tiles gives the same bits. */
  readonly tiles: (params: Params<P>) => number;
  /** Bytes of scratch memory that one worker needs. */
  readonly scratch?: (params: Params<P>) => number;
  readonly cost: (params: Params<P>) => { readonly bytes: number; readonly flops: number };
  readonly agreement: Agreement;
  readonly devices: readonly ("wasm" | "webgpu")[];
  /** For every op with `webgpu` in `devices`. */
  readonly gpu?: GpuKernel<O, P>;
}

/** Keeps the literal names of operands and params, so that a wrong name is a type error. */
export function defineOp<const O extends string, const P extends string>(op: Op<O, P>): Op<O, P> {
  return op;
}

/** `matmul-nf4-nt` → `matmulNf4Nt` */
export function exportName(opName: string): string {
  return opName.replace(/-([a-z0-9])/g, (_, c: string) => c.toUpperCase());
}

/**
 * The only validation there is: kernels trust it.
 * @throws ShapeError naming the op and the operand or param.
 */
export function checkOp<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
  for (const { name, type } of op.params) {
    const value = params[name];
    if (typeof value !== "number" || Number.isNaN(value)) throw new ShapeError(op.name, name, { expected: type, got: value });
    if (type === "f32") continue;
    const low = type === "u32" ? 0 : -2147483648;
    if (!Number.isInteger(value) || value < low || value > 4294967295) throw new ShapeError(op.name, name, { expected: type, got: value });
  }
  for (const { name, dtype, shape } of op.operands) {
    const tensor = operands[name];
    if (!tensor) throw new ShapeError(op.name, name, { expected: "a tensor", got: tensor });
    const allowed = typeof dtype === "string" ? tensor.dtype === dtype : dtype.includes(tensor.dtype);
    if (!allowed) throw new ShapeError(op.name, `dtype of ${name} (${tensor.label})`, { expected: String(dtype), got: tensor.dtype });
    const need = shape(params);
    if (elementsOf(tensor.shape) < elementsOf(need)) {
      throw new ShapeError(op.name, `size of ${name} (${tensor.label})`, { expected: `[${need}]`, got: `[${tensor.shape}]` });
    }
  }
  op.check?.(params, operands);
}
