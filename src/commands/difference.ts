/** How far values are from those they replace. */
export interface Difference {
  /** Largest absolute difference. */
  readonly max: number;
  /** √(Σ (after − before)² / Σ before²) */
  readonly relativeRms: number;
}

export interface TensorDifference extends Difference {
  readonly tensor: string;
}

interface Sums {
  max: number;
  difference2: number;
  before2: number;
}

/** Adds up differences, tensor by tensor, in float64. */
export class DifferenceMeter {
  readonly #tensors = new Map<string, Sums>();

  add(tensor: string, before: Float32Array, after: Float32Array): void {
    const sums = this.#tensors.get(tensor) ?? { max: 0, difference2: 0, before2: 0 };
    this.#tensors.set(tensor, sums);
    for (let i = 0; i < before.length; i++) {
      const difference = Math.abs(after[i] - before[i]);
      if (difference > sums.max) sums.max = difference;
      sums.difference2 += difference * difference;
      sums.before2 += before[i] * before[i];
    }
  }

  /** Over the tensors that are not the same before and after. */
  total(): Difference {
    const all = { max: 0, difference2: 0, before2: 0 };
    for (const { max, difference2, before2 } of this.#tensors.values()) {
      if (difference2 === 0) continue;
      all.max = Math.max(all.max, max);
      all.difference2 += difference2;
      all.before2 += before2;
    }
    return differenceOf(all);
  }

  /** The tensor with the largest relative difference; undefined when there is no difference at all. */
  worst(): TensorDifference | undefined {
    let worst: TensorDifference | undefined;
    for (const [tensor, sums] of this.#tensors) {
      const difference = differenceOf(sums);
      if (difference.relativeRms > (worst?.relativeRms ?? 0)) worst = { tensor, ...difference };
    }
    return worst;
  }
}

function differenceOf({ max, difference2, before2 }: Sums): Difference {
  return { max, relativeRms: difference2 === 0 ? 0 : Math.sqrt(difference2 / before2) };
}
