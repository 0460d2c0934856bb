type Item = string | number | bigint;

export interface GgufParts {
  magic?: string;
  version?: number;
  /** key, type of the value, value. */
  metadata?: [string, number, Item | { type: number; items: Item[]; count?: bigint }][];
  tensors?: { name: string; ne: (number | bigint)[]; type: number; offset?: number; data: Uint8Array }[];
  alignment?: number;
}

class Bytes {
  readonly #parts: Buffer[] = [];
  length = 0;

  add(part: Buffer): void {
    this.#parts.push(part);
    this.length += part.length;
  }

  u32(value: number): void {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(value >>> 0);
    this.add(b);
  }

  u64(value: number | bigint): void {
    const b = Buffer.alloc(8);
    b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    this.add(b);
  }

  string(text: string): void {
    const b = Buffer.from(text);
    this.u64(b.length);
    this.add(b);
  }

  scalar(type: number, value: Item): void {
    if (type === 8) return this.string(String(value));
    const view = new DataView(new ArrayBuffer(8));
    const size = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type];
    if (type === 6) view.setFloat32(0, Number(value), true);
    else if (type === 12) view.setFloat64(0, Number(value), true);
    else view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
    this.add(Buffer.from(view.buffer.slice(0, size)));
  }

  pad(alignment: number): void {
    this.add(Buffer.alloc((alignment - (this.length % alignment)) % alignment));
  }

  bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts));
  }
}

/** A GGUF file, right or wrong as told. */
export function encodeGguf({ magic = "GGUF", version = 3, metadata = [], tensors = [], alignment = 32 }: GgufParts): Uint8Array {
  const out = new Bytes();
  out.add(Buffer.from(magic));
  out.u32(version);
  out.u64(tensors.length);
  out.u64(metadata.length);
  for (const [key, type, value] of metadata) {
    out.string(key);
    out.u32(type);
    if (typeof value !== "object") out.scalar(type, value);
    else {
      out.u32(value.type);
      out.u64(value.count ?? value.items.length);
      for (const item of value.items) out.scalar(value.type, item);
    }
  }
  let at = 0;
  for (const { name, ne, type, offset, data } of tensors) {
    out.string(name);
    out.u32(ne.length);
    for (const n of ne) out.u64(n);
    out.u32(type);
    out.u64(offset ?? at);
    at += Math.ceil(data.length / alignment) * alignment;
  }
  out.pad(alignment);
  for (const { data } of tensors) {
    out.add(Buffer.from(data));
    out.pad(alignment);
  }
  return out.bytes();
}

export interface TinyGguf {
  metadata?: GgufParts["metadata"];
  ropeFreqs?: number[];
  extra?: string;
}

/** A llama of 1 layer, hidden 64, 4 heads over 2; every element of a weight or bias is the number of its row. */
export function tinyGguf({ metadata = [], ropeFreqs, extra }: TinyGguf = {}): Uint8Array {
  const rows = (name: string, out: number, width = 1): { name: string; ne: number[]; type: number; data: Uint8Array } => {
    const data = Float32Array.from({ length: out * width }, (_, i) => Math.floor(i / width));
    return { name, ne: width === 1 ? [out] : [width, out], type: 0, data: new Uint8Array(data.buffer) };
  };
  const base: GgufParts["metadata"] = [
    ["general.architecture", 8, "llama"], ["llama.embedding_length", 4, 64], ["llama.feed_forward_length", 4, 32], ["llama.block_count", 4, 1],
    ["llama.context_length", 4, 128], ["llama.attention.head_count", 4, 4], ["llama.attention.head_count_kv", 4, 2],
    ["llama.attention.layer_norm_rms_epsilon", 6, 1e-5], ["llama.rope.dimension_count", 4, 16], ["tokenizer.ggml.model", 8, "gpt2"],
    ["tokenizer.ggml.bos_token_id", 4, 1], ["tokenizer.ggml.eos_token_id", 4, 2],
  ];
  const tensors = [
    rows("token_embd.weight", 7, 64), rows("output_norm.weight", 64), rows("blk.0.attn_norm.weight", 64), rows("blk.0.ffn_norm.weight", 64),
    rows("blk.0.attn_q.weight", 64, 64), rows("blk.0.attn_k.weight", 32, 64), rows("blk.0.attn_v.weight", 32, 64), rows("blk.0.attn_output.weight", 64, 64),
    rows("blk.0.attn_q.bias", 64), rows("blk.0.attn_k.bias", 32), rows("blk.0.attn_v.bias", 32), rows("blk.0.attn_output.bias", 64),
    rows("blk.0.ffn_gate.weight", 32, 64), rows("blk.0.ffn_up.weight", 32, 64), rows("blk.0.ffn_down.weight", 64, 32),
  ];
  if (ropeFreqs) tensors.push({ name: "rope_freqs.weight", ne: [ropeFreqs.length], type: 0, data: new Uint8Array(Float32Array.from(ropeFreqs).buffer) });
  if (extra) tensors.push(rows(extra, 64));
  const own = new Set(metadata.map(([key]) => key));
  return encodeGguf({ metadata: [...base.filter(([key]) => !own.has(key)), ...metadata], tensors });
}
