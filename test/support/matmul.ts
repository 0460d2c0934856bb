import { centralDifferences, normals } from "./numbers.ts";
import type { GradientCheck, OpCase } from "./op-case.ts";

/** Which operand is stored transposed: nt x[m,k]·w[n,k]ᵀ, nn x[m,k]·w[k,n], tn x[k,m]ᵀ·w[k,n]. */
export type Product = "nt" | "nn" | "tn";

/** y[m, n] (+)= the product, in f64. */
export function productReference(
  kind: Product, x: ArrayLike<number>, w: ArrayLike<number>, m: number, n: number, k: number, add?: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = add ? add[i * n + j] : 0;
      for (let l = 0; l < k; l++) {
        const left = kind === "tn" ? x[l * m + i] : x[i * k + l];
        const right = kind === "nt" ? w[j * k + l] : w[l * n + j];
        sum += left * right;
      }
      y[i * n + j] = sum;
    }
  }
  return y;
}

function sized(m: number, n: number, k: number, accumulate: number): OpCase {
  // Without `accumulate` y must not be read: NaN would show.
  const y = accumulate ? normals(m * n, 3) : new Float32Array(m * n).fill(NaN);
  return {
    name: `${m}×${n}×${k}${accumulate ? ", accumulate" : ""}`,
    params: { m, n, k, accumulate },
    inputs: { x: normals(m * k, 1), w: normals(n * k, 2), y },
  };
}

/** Every remainder of 6 and of 5 rows, 8 columns, 256 of k; several tiles of 180 rows and 64 columns; nothing at all. */
export function matmulCases(): OpCase[] {
  return [
    sized(1, 1, 1, 0), sized(2, 7, 3, 0), sized(3, 8, 5, 1), sized(5, 9, 16, 0), sized(11, 15, 17, 1),
    sized(1, 192, 576, 0), sized(16, 130, 40, 1), sized(40, 16, 300, 1), sized(203, 67, 19, 0), sized(25, 72, 513, 1),
    sized(2, 70, 2048, 0), sized(7, 40, 2100, 0), sized(1, 40, 4096, 0), sized(4, 20, 4200, 1), sized(3, 5, 0, 0), sized(3, 5, 0, 1), sized(0, 4, 4, 0), sized(4, 0, 4, 0),
  ];
}

/** What a linear layer's backward relies on: of y = x·wᵀ, dx = dy·w (nn) and dw = dyᵀ·x (tn). */
export function gradientsOfProduct(): GradientCheck[] {
  const [m, n, k] = [3, 4, 5];
  const x = normals(m * k, 1);
  const w = normals(n * k, 2);
  const dy = normals(m * n, 3);
  return [
    { name: "dx", analytic: productReference("nn", dy, w, m, k, n), numeric: centralDifferences((v) => productReference("nt", v, w, m, n, k), x, dy) },
    { name: "dw", analytic: productReference("tn", dy, x, n, k, m), numeric: centralDifferences((v) => productReference("nt", x, v, m, n, k), w, dy) },
  ];
}
