import { readFileSync } from "node:fs";
import type { TypedArray } from "../../src/dtype.ts";

interface Entry { dtype: string; shape: number[]; data_offsets: [number, number] }

export interface GoldenFile {
  metadata: Record<string, string>;
  names: string[];
  /** f16 and bf16 as their bits. */
  tensor(name: string): TypedArray;
  entry(name: string): Entry;
}

const VIEWS: Record<string, (buffer: ArrayBuffer) => TypedArray> = {
  F32: (b) => new Float32Array(b), F16: (b) => new Uint16Array(b), BF16: (b) => new Uint16Array(b),
  I32: (b) => new Int32Array(b), I64: (b) => Int32Array.from(new BigInt64Array(b), Number), U8: (b) => new Uint8Array(b), I8: (b) => new Int8Array(b),
};

/** Reads a file that a peer wrote, with none of the engine's own code. Paths are relative to `test/golden`. */
export function readGolden(path: string): GoldenFile {
  const bytes = readFileSync(`test/golden/${path}`);
  const size = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.toString("utf8", 8, 8 + size)) as { __metadata__: Record<string, string> } & Record<string, Entry>;
  const all = entries as Record<string, Entry>;
  const entry = (name: string): Entry => {
    if (!all[name]) throw new Error(`${path}: no tensor ${name}`);
    return all[name];
  };
  return {
    metadata: metadata ?? {}, names: Object.keys(all), entry,
    tensor: (name) => {
      const { dtype, data_offsets: [from, to] } = entry(name);
      return VIEWS[dtype](new Uint8Array(bytes.subarray(8 + size + from, 8 + size + to)).buffer);
    },
  };
}
