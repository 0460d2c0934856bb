// How the matmul ops are cut; assembly/lib/gemm.ts has the same numbers.
const ROWS = 180;
const BLOCK_K = 256;

/** A tile is smaller when k is long: it should take about a millisecond. */
function columns(k: number): number {
  return k <= 2048 ? 64 : 32;
}

function rows(k: number): number {
  return k <= 4096 ? ROWS : ROWS / 2;
}

/** Tiles of y[m, n], each accumulated over k. */
export function gemmTiles(m: number, n: number, k: number): number {
  return Math.ceil(m / rows(k)) * Math.ceil(n / columns(k));
}

/** Bytes: description of the weights, 6 × 8 floats for edges, 8 padded panels of BLOCK_K × 8, padded groups of 5 or 6 rows × BLOCK_K. */
export const GEMM_SCRATCH = 128 + 192 + 8 * (BLOCK_K * 8 * 4 + 64) + ROWS * BLOCK_K * 4 + (ROWS / 5) * 64;

/** Multiply-adds count twice; every f32 operand is read or written once, y once more when it is added to. */
export function gemmCost(m: number, n: number, k: number, accumulate: number, weightBytes: number): { bytes: number; flops: number } {
  return { bytes: weightBytes + 4 * (m * k + m * n * (accumulate ? 2 : 1)), flops: 2 * m * n * k };
}

/** k roundings in sequence: 2.9e-6 of the largest value measured, at k = 4200; the bound leaves a factor of 3. */
export const GEMM_AGREEMENT = { relative: 8e-6, absolute: 1e-7 } as const;

/** Factors rounded to f16, sums in f32: 4.8e-4 of the largest value measured; the bound leaves a factor of 3. */
export const GEMM_VARIANTS = { f16: { relative: 1.5e-3, absolute: 1e-7 } } as const;
