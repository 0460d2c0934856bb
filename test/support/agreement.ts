import type { Agreement } from "../../src/op.ts";

type Values = ArrayLike<number>;

/** The first element in which a device differs from the reference by more than the contract allows. */
export function disagreement(actual: Values, want: Values, agreement: Agreement): string | undefined {
  if (actual.length !== want?.length) return `: expected ${want?.length} elements, got ${actual.length}`;
  return agreement === "bits" ? otherBits(actual, want) : tooFar(actual, want, agreement);
}

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/** Unlike uvu's equal, which takes −0 for 0. */
function otherBits(actual: Values, want: Values): string | undefined {
  for (let i = 0; i < actual.length; i++) {
    if (!Object.is(actual[i], want[i]) && bitsOf(actual[i]) !== bitsOf(want[i])) return `[${i}]: expected ${want[i]}, got ${actual[i]}`;
  }
  return undefined;
}

function tooFar(actual: Values, want: Values, bound: { relative: number; absolute: number }): string | undefined {
  // Relative to the largest value: cancellation makes single small elements meaningless.
  let scale = 0;
  for (let i = 0; i < want.length; i++) if (Number.isFinite(want[i])) scale = Math.max(scale, Math.abs(want[i]));
  const allowed = bound.absolute + bound.relative * scale;
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], Math.fround(want[i]))) continue;
    if (!(Math.abs(actual[i] - want[i]) <= allowed)) return `[${i}]: expected ${want[i]} ± ${allowed}, got ${actual[i]}`;
  }
  return undefined;
}
