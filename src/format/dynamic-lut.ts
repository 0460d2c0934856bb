/**
 * bitsandbytes' CPU rule for 8-bit codes, as the table that it looks them up in: entry i of 65536 is the
 * code nearest to −1 + 2·i/65535, on a tie the lower one. Coarser than an exact search: 0 becomes
 * code 131 (2.1e-5), and codes 124…130 of the signed map never occur. Checkpoints depend on it.
 * `table` is f32[256], ascending.
 */
export function dynamicLut(table: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const lut = new Uint8Array(65536);
  let code = 0;
  for (let i = 0; i < lut.length; i++) {
    const value = -1 + (2 * i) / 65535;
    // Both ascend, so the nearest code never moves back.
    while (code < 255 && Math.abs(table[code + 1] - value) < Math.abs(table[code] - value)) code++;
    lut[i] = code;
  }
  return lut;
}
