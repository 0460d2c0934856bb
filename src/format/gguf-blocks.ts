import { FormatError } from "../errors.ts";

export interface BlockType {
  readonly name: string;
  /** Elements of one block, and its bytes. */
  readonly elements: number;
  readonly bytes: number;
}

/** Every type that a file may contain, by its number: sizes are needed to check the layout even where values are not decoded. */
export const BLOCK_TYPES: ReadonlyMap<number, BlockType> = new Map(
  ([
    [0, "F32", 1, 4], [1, "F16", 1, 2], [2, "Q4_0", 32, 18], [3, "Q4_1", 32, 20], [6, "Q5_0", 32, 22], [7, "Q5_1", 32, 24],
    [8, "Q8_0", 32, 34], [9, "Q8_1", 32, 40], [10, "Q2_K", 256, 84], [11, "Q3_K", 256, 110], [12, "Q4_K", 256, 144],
    [13, "Q5_K", 256, 176], [14, "Q6_K", 256, 210], [15, "Q8_K", 256, 292], [16, "IQ2_XXS", 256, 66], [17, "IQ2_XS", 256, 74],
    [18, "IQ3_XXS", 256, 98], [19, "IQ1_S", 256, 50], [20, "IQ4_NL", 32, 18], [21, "IQ3_S", 256, 110], [22, "IQ2_S", 256, 82],
    [23, "IQ4_XS", 256, 136], [24, "I8", 1, 1], [25, "I16", 1, 2], [26, "I32", 1, 4], [27, "I64", 1, 8], [28, "F64", 1, 8],
    [29, "IQ1_M", 256, 56], [30, "BF16", 1, 2], [34, "TQ1_0", 256, 54], [35, "TQ2_0", 256, 66], [39, "MXFP4", 32, 17],
    [40, "NVFP4", 64, 36], [41, "Q1_0", 128, 18],
  ] as const).map(([id, name, elements, bytes]) => [id, { name, elements, bytes }]),
);

type Decode = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** One block from byte `at` into `out` from element `to` on. Sums and products are exact in doubles and rounded once, as in ggml. */
const DECODERS: Readonly<Record<string, Decode>> = {
  Q4_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 2 + j];
      out[to + j] = ((q & 15) - 8) * d;
      out[to + 16 + j] = ((q >> 4) - 8) * d;
    }
  },
  Q4_1: (bytes, at, out, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 4 + j];
      out[to + j] = (q & 15) * d + m;
      out[to + 16 + j] = (q >> 4) * d + m;
    }
  },
  Q8_0: (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let j = 0; j < 32; j++) out[to + j] = ((bytes[at + 2 + j] << 24) >> 24) * d;
  },
  Q4_K: decodeQ4K,
  Q6_K: decodeQ6K,
};

/** Types whose values `decodeBlocks` gives; F32, F16 and BF16 need no decoding. */
export const DECODED_TYPES: readonly string[] = Object.keys(DECODERS);

/**
 * Whole blocks to float32. Source: ggml-quants.c, dequantize_row_*.
 * @param out f32[blocks · elements]
 * @throws FormatError naming a type that is not decoded.
 */
export function decodeBlocks(type: BlockType, bytes: Uint8Array, out: Float32Array, where: string): void {
  const decode = DECODERS[type.name];
  if (!decode) throw unsupportedType(type.name, where);
  for (let at = 0, to = 0; at + type.bytes <= bytes.length; at += type.bytes, to += type.elements) decode(bytes, at, out, to);
}

export function unsupportedType(name: string, where: string): FormatError {
  return new FormatError(where, "GGUF type", { expected: ["F32", "F16", "BF16", ...DECODED_TYPES].join(", "), got: name, hint: "convert the model from its original files to one of these types" });
}

/** d, dmin; 8 six-bit scales and 8 six-bit minima in 12 bytes; 128 bytes, whose nibbles are sub-blocks 2k and 2k + 1. */
function decodeQ4K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(bytes, at);
  const dmin = half(bytes, at + 2);
  const s = at + 4;
  for (let j = 0; j < 8; j++) {
    const scale = j < 4 ? bytes[s + j] & 63 : (bytes[s + j + 4] & 15) | ((bytes[s + j - 4] >> 6) << 4);
    const minimum = j < 4 ? bytes[s + j + 4] & 63 : (bytes[s + j + 4] >> 4) | ((bytes[s + j] >> 6) << 4);
    const q = at + 16 + (j >> 1) * 32;
    const shift = (j & 1) * 4;
    for (let l = 0; l < 32; l++) out[to + j * 32 + l] = d * scale * ((bytes[q + l] >> shift) & 15) - dmin * minimum;
  }
}

/** 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d. Each half of the block has its own part of each. */
function decodeQ6K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = half(bytes, at + 208);
  for (let h = 0; h < 2; h++) {
    const low = at + h * 64;
    const high = at + 128 + h * 32;
    const scales = at + 192 + h * 8;
    for (let quarter = 0; quarter < 4; quarter++) {
      const nibbles = low + (quarter & 1) * 32;
      const shift = (quarter >> 1) * 4;
      for (let l = 0; l < 32; l++) {
        const q = (((bytes[nibbles + l] >> shift) & 15) | (((bytes[high + l] >> (quarter * 2)) & 3) << 4)) - 32;
        const scale = (bytes[scales + quarter * 2 + (l >> 4)] << 24) >> 24;
        out[to + h * 128 + quarter * 32 + l] = d * scale * q;
      }
    }
  }
}

function half(bytes: Uint8Array, at: number): number {
  return f16ToNumber(bytes[at] | (bytes[at + 1] << 8));
}

/** The value of a binary16. */
export function f16ToNumber(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * (1 + fraction / 1024) * POWERS[exponent] : sign * fraction * 2 ** -24;
}

/** 2^(exponent − 15) */
const POWERS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 15));
