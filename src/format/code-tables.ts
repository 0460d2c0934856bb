// The code tables of bitsandbytes, as the bits of their f32 entries: recomputing them in JavaScript
// would differ in last places (torch's linspace and quantiles are f32 with fused steps).

const NF4 = `
  bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 00000000
  3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000`;

// Sign, two bits of exponent, one of mantissa, divided by 12. Code 8 is +0, as stored in checkpoints.
const FP4 = `
  00000000 3baaaaab 3f2aaaab 3f800000 3eaaaaab 3f000000 3e2aaaab 3e800000
  00000000 bbaaaaab bf2aaaab bf800000 beaaaaab bf000000 be2aaaab be800000`;

// Entries 128…254 of the signed dynamic map. Entry 127 is 0, entry 255 is 1, entry i < 127 is minus entry 254 − i.
const DYNAMIC_POSITIVE = `
  3513a3b7 365a1a94 370205ff 37b24206 38378034 388aefb3 38ba1f4b 3923d70b
  398ce705 39c7e283 3a016f01 3a1eecc1 3a3c6a80 3a59e83e 3a7765ff 3aa7ef9d
  3af1a9fc 3b1db22d 3b428f5c 3b676c8a 3b8624dd 3b989374 3bab020d 3bbd70a4
  3bcfdf3b 3be24dd3 3bf4bc6a 3c039581 3c0ccccd 3c160418 3c1f3b64 3c3ae148
  3c68f5c3 3c8b851f 3ca28f5d 3cb9999a 3cd0a3d7 3ce7ae15 3cfeb852 3d0ae148
  3d166667 3d21eb85 3d2d70a3 3d38f5c3 3d447ae1 3d500000 3d5b851f 3d670a3d
  3d728f5d 3d7e147b 3d84cccd 3d8a8f5d 3d9051eb 3d96147b 3d9bd70a 3da1999a
  3da75c2a 3dad1eb8 3db2e148 3db8a3d7 3dbe6667 3dc428f7 3dc9eb85 3ddb3334
  3df80000 3e0a6666 3e18cccd 3e273333 3e35999a 3e440000 3e526666 3e60cccd
  3e6f3333 3e7d9999 3e860000 3e8d3334 3e946666 3e9b999a 3ea2cccc 3eaa0000
  3eb13333 3eb86666 3ebf999a 3ec6cccc 3ece0000 3ed53333 3edc6666 3ee3999a
  3eeacccc 3ef20000 3ef93332 3f003333 3f03cccc 3f076666 3f0b0000 3f0e999a
  3f123334 3f15cccd 3f196666 3f1d0000 3f20999a 3f243334 3f27cccd 3f2b6666
  3f2f0000 3f32999a 3f363334 3f39cccd 3f3d6666 3f410000 3f44999a 3f483333
  3f4bcccd 3f4f6666 3f530000 3f56999a 3f5a3333 3f5dcccd 3f616666 3f650000
  3f68999a 3f6c3333 3f6fcccd 3f736666 3f770000 3f7a999a 3f7e3333`;

function parse(hex: string): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(hex.trim().split(/\s+/), (word) => parseInt(word, 16)).buffer);
}

/** The 16 values of a 4-bit type: what code c stands for, before the block's scale. */
export function codeTable(type: "nf4" | "fp4"): Float32Array<ArrayBuffer> {
  return parse(type === "nf4" ? NF4 : FP4);
}

/** The 256 ascending values of bitsandbytes' signed dynamic map, for 8-bit codes and nested constants. */
export function dynamicTable(): Float32Array<ArrayBuffer> {
  const positive = parse(DYNAMIC_POSITIVE);
  const table = new Float32Array(256);
  table.set(positive, 128);
  positive.forEach((value, i) => { table[126 - i] = -value; });
  table[255] = 1;
  return table;
}

export interface RankTable {
  /** f32[15], ascending: f32 midpoints of neighbours in the sorted table. A value equal to one belongs below it. */
  readonly thresholds: Float32Array<ArrayBuffer>;
  /** u8[16]: the code that stands at each place of the sorted table. */
  readonly codes: Uint8Array<ArrayBuffer>;
}

/** Sorted view of any 16-entry table; equal entries keep their order. */
export function rankTable(code: ArrayLike<number>): RankTable {
  const codes = Uint8Array.from([...Array.from(code).keys()].sort((a, b) => code[a] - code[b] || a - b));
  const thresholds = Float32Array.from({ length: 15 }, (_, k) => Math.fround(code[codes[k]] + code[codes[k + 1]]) / 2);
  return { thresholds, codes };
}
