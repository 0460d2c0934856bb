// f16 and bf16 ↔ f32 in plain arithmetic, from the definition of the formats.

export function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

export function fromBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0];
}

/** The nearest multiple of `step`, ties to the even one. Exact: the quotient fits an f64. */
function nearestMultiple(value: number, step: number): number {
  const quotient = value / step;
  const below = Math.floor(quotient);
  const rest = quotient - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return (up ? below + 1 : below) * step;
}

/** `value` rounded to a float with `mantissa` stored bits and least exponent `low`; infinity above `largest`. */
function roundTo(value: number, mantissa: number, low: number, largest: number): number {
  const size = Math.abs(value);
  if (Number.isNaN(value) || size === 0 || size === Infinity) return value;
  let exponent = low;
  while (2 ** (exponent + 1) <= size) exponent++;
  const rounded = nearestMultiple(size, 2 ** (exponent - mantissa));
  const result = rounded > largest ? Infinity : rounded;
  return value < 0 ? -result : result;
}

export const roundF16 = (value: number): number => roundTo(value, 10, -14, 65504);
export const roundBf16 = (value: number): number => roundTo(value, 7, -126, 3.3895313892515355e38);

export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** NaN keeps its sign and becomes quiet, without payload. */
export function f32ToF16(bits: number): number {
  const value = fromBits(bits);
  const sign = (bits >>> 16) & 0x8000;
  if (Number.isNaN(value)) return sign | 0x7e00;
  const size = Math.abs(roundF16(value));
  if (size === Infinity) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | ((exponent + 15) << 10) | ((size / 2 ** exponent - 1) * 1024);
}

export function f32ToBf16(bits: number): number {
  const value = fromBits(bits);
  if (Number.isNaN(value)) return ((bits >>> 16) & 0x8000) | 0x7fc0;
  return bitsOf(roundBf16(value)) >>> 16;
}
