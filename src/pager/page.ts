import { bytesOf, type DType } from "../dtype.ts";

/** One tensor of a page. */
export interface PagePart {
  readonly dtype: DType;
  readonly elements: number;
  readonly label: string;
}

/** … and how to get its bytes again. */
export interface PageSource extends PagePart {
  /** Fills `into`, which has exactly the tensor's bytes, with the same bytes every time. */
  readonly read: (into: Uint8Array<ArrayBuffer>) => Promise<void> | void;
}

/** Where any device accepts the beginning of a tensor inside a buffer. */
const ALIGN = 256;

/**
 * What moves between the tiers as one: the frozen tensors of a layer, whole blocks with their constants,
 * one after the other, or a slice of the head's rows. Nobody ever writes to a page, so giving one up costs nothing.
 */
export class Page {
  readonly name: string;
  readonly kind: "layer" | "head";
  readonly parts: readonly PagePart[];
  /** First byte of each part. */
  readonly offsets: readonly number[];
  readonly bytes: number;
  /** All of it in host memory, for a page that cannot be read again. */
  host: Uint8Array<ArrayBuffer> | undefined;
  #reads: readonly PageSource["read"][];

  constructor(name: string, sources: readonly PageSource[], kind: "layer" | "head" = "layer") {
    this.name = name;
    this.kind = kind;
    this.parts = sources.map(({ dtype, elements, label }) => ({ dtype, elements, label }));
    this.#reads = sources.map(({ read }) => read);
    let at = 0;
    this.offsets = this.parts.map(({ dtype, elements }) => {
      const here = at;
      at += Math.ceil((elements * bytesOf(dtype)) / ALIGN) * ALIGN;
      return here;
    });
    this.bytes = at;
  }

  /** Reads it for good: there will be nothing left to read it from. */
  async keep(): Promise<void> {
    const host = new Uint8Array(this.bytes);
    await this.read(host);
    this.host = host;
    this.#reads = []; // and with them what they hold
  }

  /** Fills the first `bytes` bytes of `into`, with zeros between the parts. */
  async read(into: Uint8Array<ArrayBuffer>): Promise<void> {
    this.parts.forEach(({ dtype, elements }, i) => into.fill(0, this.offsets[i] + elements * bytesOf(dtype), this.offsets[i + 1] ?? this.bytes));
    // All at once: a busy event loop passes on one answer of the system after the other.
    await Promise.all(this.#reads.map((read, i) => {
      const { dtype, elements } = this.parts[i];
      return read(into.subarray(this.offsets[i], this.offsets[i] + elements * bytesOf(dtype)));
    }));
  }
}

/** Of bytes that are a multiple of 16: four lanes of FNV-1a over words, so any single word that differs shows. */
export function checksum(bytes: Uint8Array<ArrayBuffer>): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let a = 1, b = 2, c = 3, d = 4;
  for (let i = 0; i < words.length; i += 4) {
    a = Math.imul(a ^ words[i], 16777619);
    b = Math.imul(b ^ words[i + 1], 16777619);
    c = Math.imul(c ^ words[i + 2], 16777619);
    d = Math.imul(d ^ words[i + 3], 16777619);
  }
  return (a ^ (b << 7 | b >>> 25) ^ (c << 15 | c >>> 17) ^ (d << 23 | d >>> 9)) >>> 0;
}
