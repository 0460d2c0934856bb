import { KernelError } from "../errors.ts";

const HINT = "the GPU's driver may have given up: try again, another driver, or the device wasm";

/** A device that silently stopped computing leaves zeros. @throws KernelError for a mean loss of exactly 0. */
export function refuseZeroLoss(where: string, loss: number, targets: number): void {
  if (loss === 0 && targets > 0) throw new KernelError(where, "the device did not compute", { expected: `a loss above 0 over ${targets} target tokens`, got: "exactly 0", hint: HINT });
}

type Matrices = ReadonlyMap<string, { readonly b: Float32Array }>;

/** Knows whether B had to move since it was last looked at: nothing is saved from a device that did not move it. */
export class Movement {
  #seen: number;
  #due = false;

  constructor(initial: Matrices) {
    this.#seen = hashOf(initial);
  }

  /** To be told of every optimizer step. */
  stepped(learningRate: number, gradNorm: number): void {
    if (learningRate > 0 && gradNorm > 0) this.#due = true;
  }

  /** @throws KernelError when steps with a gradient left B as it was. */
  check(where: string, now: Matrices): void {
    const hash = hashOf(now);
    if (this.#due && hash === this.#seen) throw new KernelError(where, "the device did not compute", { expected: "a B that moves with its gradient", got: "the same B as before", hint: HINT });
    this.#seen = hash;
    this.#due = false;
  }
}

/** FNV-1a over the words of every B. */
function hashOf(matrices: Matrices): number {
  let hash = 0x811c9dc5;
  for (const { b } of matrices.values()) {
    for (const word of new Uint32Array(b.buffer, b.byteOffset, b.length)) hash = Math.imul(hash ^ word, 0x01000193);
  }
  return hash;
}
