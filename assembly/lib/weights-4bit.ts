import { packTransposed, PANEL_COLUMNS } from "./panel";

/** A 4-bit matrix with its constants: operands and params of the matmul-nf4 ops, kept in scratch for one call. */
@unmanaged
export class Weights4 {
  packed: usize; // u8[ceil(elements / 2)], even element in the high nibble
  absmax: usize; // f32[blocks], u8[blocks] when nested
  code: usize; // f32[16]
  nestedAbsmax: usize; // f32[ceil(blocks / 256)]
  nestedCode: usize; // f32[256]
  blocksize: i32;
  nested: i32;
  nestedOffset: f32;
  round: i32; // 0 f32, 1 f16, 2 bf16
}

export const WEIGHTS4_BYTES: usize = 64;

// @ts-ignore: decorator
@inline
export function placeWeights(
  at: usize, packed: usize, absmax: usize, code: usize, nestedAbsmax: usize, nestedCode: usize,
  blocksize: i32, nested: i32, nestedOffset: f32, round: i32,
): void {
  const w = changetype<Weights4>(at);
  w.packed = packed;
  w.absmax = absmax;
  w.code = code;
  w.nestedAbsmax = nestedAbsmax;
  w.nestedCode = nestedCode;
  w.blocksize = blocksize;
  w.nested = nested;
  w.nestedOffset = nestedOffset;
  w.round = round;
}

// @ts-ignore: decorator
@inline
function absmaxOf(w: Weights4, block: i32): f32 {
  if (!w.nested) return load<f32>(w.absmax + (<usize>block << 2));
  const level = load<f32>(w.nestedCode + (<usize>load<u8>(w.absmax + <usize>block) << 2));
  return level * load<f32>(w.nestedAbsmax + (<usize>(block >> 8) << 2)) + w.nestedOffset;
}

/** to[i] ← W[start + i], i < length, flat index. */
function decode(w: Weights4, start: i32, length: i32, to: usize): void {
  for (let i = start; i < start + length; i++) {
    const byte = <u32>load<u8>(w.packed + <usize>(i >> 1));
    const nibble = i & 1 ? byte & 15 : byte >> 4;
    store<f32>(to, roundTo(load<f32>(w.code + (<usize>nibble << 2)) * absmaxOf(w, i / w.blocksize), w.round));
    to += 4;
  }
}

function roundTo(value: f32, round: i32): f32 {
  const bits = reinterpret<u32>(value);
  if (round == 2) return reinterpret<f32>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
  if (round == 1) {
    if (abs(value) < <f32>6.103515625e-5) return value + <f32>0.75 - <f32>0.75;
    return reinterpret<f32>((bits + 0xfff + (bits >> 13 & 1)) & 0xffffe000);
  }
  return value;
}

/** panel ← rows [row, row + columns) of W[., k], transposed, k from k0 on. `spare`: 8 · depth floats. */
export function decodeTransposed(w: Weights4, k: i32, row: i32, columns: i32, k0: i32, depth: i32, panel: usize, spare: usize): void {
  const stride = <usize>depth << 2;
  for (let j = 0; j < columns; j++) decode(w, (row + j) * k + k0, depth, spare + <usize>j * stride);
  packTransposed(spare, stride, columns, depth, panel);
}

/** panels ← columns [column, column + columns) of W[., n], rows from k0 on; panels are `panelBytes` apart. */
export function decodeColumns(w: Weights4, n: i32, k0: i32, depth: i32, column: i32, columns: i32, panels: usize, panelBytes: usize, spare: usize): void {
  const padded = (columns + PANEL_COLUMNS - 1) & ~(PANEL_COLUMNS - 1);
  memory.fill(spare, 0, <usize>padded << 2);
  for (let i = 0; i < depth; i++) {
    decode(w, (k0 + i) * n + column, columns, spare);
    for (let j = 0; j < padded; j += PANEL_COLUMNS) {
      const to = panels + <usize>(j / PANEL_COLUMNS) * panelBytes + (<usize>i << 5);
      v128.store(to, v128.load(spare + (<usize>j << 2)));
      v128.store(to, v128.load(spare + (<usize>j << 2), 16), 16);
    }
  }
}
