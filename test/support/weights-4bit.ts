import { normals, randomSource } from "./numbers.ts";
import type { Arrays } from "./op-case.ts";

/** The NF4 levels, to nine digits: enough to hit the nearest f32. */
export const NF4 = Float32Array.of(
  -1, -0.696192801, -0.525073051, -0.394917488, -0.284441382, -0.184773430, -0.0910500363, 0,
  0.0795802996, 0.160930201, 0.246112302, 0.337915242, 0.440709829, 0.562617004, 0.722956836, 1,
);

type Params = Record<string, number>;

/** Nearest number of `digits` significant binary digits, ties to even, not finer than 2^lowest. */
function roundBits(value: number, digits: number, lowest: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** Math.max(Math.floor(Math.log2(Math.abs(value))) - digits + 1, lowest);
  const scaled = value / unit;
  const down = Math.floor(scaled);
  const rest = scaled - down;
  return (rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down) * unit;
}

/** W[n · k], flat, with every rounding of the contract. */
export function weightsReference({ packed, absmax, code, nestedAbsmax, nestedCode }: Arrays, p: Params): Float64Array {
  const weights = new Float64Array(p.n * p.k);
  for (let e = 0; e < weights.length; e++) {
    const byte = packed[e >> 1];
    const nibble = e % 2 ? byte & 15 : byte >> 4;
    const block = Math.floor(e / p.blocksize);
    let scale = absmax[block];
    if (p.nested) scale = Math.fround(Math.fround(nestedCode[scale] * nestedAbsmax[block >> 8]) + Math.fround(p.nestedOffset));
    const value = Math.fround(code[nibble] * scale);
    weights[e] = p.round === 1 ? roundBits(value, 11, -24) : p.round === 2 ? roundBits(value, 8, -133) : value;
  }
  return weights;
}

/** Random packed weights [n, k] and their constants, as operands. */
export function randomWeights({ n, k, blocksize, nested }: Params, seed: number): Arrays {
  const random = randomSource(seed);
  const blocks = Math.ceil((n * k) / blocksize);
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(random() * 256));
  return {
    packed: bytes(Math.ceil((n * k) / 2)),
    absmax: nested ? bytes(blocks) : Float32Array.from({ length: blocks }, () => 0.01 + random()),
    code: NF4,
    nestedAbsmax: nested ? Float32Array.from({ length: Math.ceil(blocks / 256) }, () => 0.1 + random()) : new Float32Array(0),
    nestedCode: nested ? Float32Array.from({ length: 256 }, (_, i) => (i - 127) / 128) : new Float32Array(0),
  };
}

interface Sizes { m: number; n: number; k: number; dyStride?: number; blocksize?: number; nested?: number; round?: number; accumulate?: number }

/** A case of matmul-nf4-nt or, with the operands called dy and dx, matmul-nf4-nn. */
export function weightsCase(kind: "nt" | "nn", sizes: Sizes) {
  const params = { ...(kind === "nn" && { dyStride: sizes.n }), blocksize: 64, nested: 0, nestedOffset: 0.37, round: 0, accumulate: 0, ...sizes };
  const { m, n, k, accumulate } = params;
  const [left, right, depth, width] = kind === "nt" ? ["x", "y", k, n] : ["dy", "dx", n, k];
  const name = [`${m}×${n}×${k}`, `blocksize ${params.blocksize}`, params.nested && "nested", params.round && `round ${params.round}`, accumulate && "accumulate"];
  return {
    name: name.filter(Boolean).join(", "),
    params,
    inputs: {
      [left]: normals(m * depth, 1),
      ...randomWeights(params, 2),
      [right]: accumulate ? normals(m * width, 3) : new Float32Array(m * width).fill(NaN),
    },
    dtypes: { absmax: params.nested ? "u8" : "f32" },
  };
}

/** Blocks inside rows, across rows, an odd row length, tails of every kind; one row and several tiles. */
export function weightsCases(kind: "nt" | "nn") {
  const sizes: Sizes[] = [
    { m: 1, n: 1, k: 1 }, { m: 2, n: 3, k: 7 }, { m: 5, n: 9, k: 33, blocksize: 32, accumulate: 1 },
    { m: 1, n: 192, k: 576 }, { m: 1, n: 70, k: 128, nested: 1 }, { m: 7, n: 40, k: 96, accumulate: 1 },
    { m: 9, n: 130, k: 96, nested: 1, round: 2 }, { m: 6, n: 24, k: 640, round: 1 }, { m: 6, n: 24, k: 64, round: 2, blocksize: 4096 },
    { m: 200, n: 20, k: 80 }, { m: 3, n: 300, k: 300, nested: 1, blocksize: 128, accumulate: 1 }, { m: 4, n: 17, k: 2101 },
    { m: 0, n: 8, k: 64 },
  ];
  return sizes.map((s) => weightsCase(kind, s));
}
