import * as assert from "uvu/assert";
import { NibbleError } from "../../src/errors.ts";
import { memoryFolder, memorySource } from "../../src/io/memory.ts";
import type { ByteSource, SourceFolder } from "../../src/io/types.ts";
import { encodeSafetensors, type HostTensor } from "../../src/format/safetensors.ts";

/** Runs what must fail, and holds the error against kind and message. */
export async function expectError(work: () => unknown, kind: new (...args: never[]) => NibbleError, pattern: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof kind, `expected ${kind.name}, got ${String(error)}`);
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`expected ${kind.name} ${pattern}`);
}

/** A file from its header as text, so that headers can lie. */
export function rawSafetensors(header: string, dataBytes: number, length = new TextEncoder().encode(header).length): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(json, 8);
  return file;
}

/** Counts what is asked of a source: no reader may ask for more than there is. */
export function countingSource(bytes: Uint8Array): ByteSource & { largest: number; closed: number } {
  const inner = memorySource("counted", bytes);
  const counted = {
    ...inner, largest: 0, closed: 0,
    read(offset: number, length: number) {
      counted.largest = Math.max(counted.largest, length);
      return inner.read(offset, length);
    },
    async close() {
      counted.closed++;
    },
  };
  return counted;
}

/** A folder whose open files are counted: a failed open must not leave any behind. */
export function countingFolder(files: Iterable<readonly [string, Uint8Array | string]>): SourceFolder & { open: SourceFolder["open"]; live: number } {
  const inner = memoryFolder("model", files);
  const counted = {
    ...inner, live: 0,
    async open(file: string) {
      const source = await inner.open(file);
      counted.live++;
      return { ...source, read: source.read, close: async () => void counted.live-- };
    },
  };
  return counted;
}

export const TINY_CONFIG = {
  model_type: "llama", hidden_size: 8, intermediate_size: 6, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, vocab_size: 5,
  tie_word_embeddings: true,
};

const SHAPES: Record<string, number[]> = {
  "model.embed_tokens.weight": [5, 8], "model.norm.weight": [8],
  "model.layers.0.input_layernorm.weight": [8], "model.layers.0.post_attention_layernorm.weight": [8],
  "model.layers.0.self_attn.q_proj.weight": [8, 8], "model.layers.0.self_attn.k_proj.weight": [4, 8],
  "model.layers.0.self_attn.v_proj.weight": [4, 8], "model.layers.0.self_attn.o_proj.weight": [8, 8],
  "model.layers.0.mlp.gate_proj.weight": [6, 8], "model.layers.0.mlp.up_proj.weight": [6, 8], "model.layers.0.mlp.down_proj.weight": [8, 6],
};

/** Tensors of a model of 1 layer; values count up. */
export function tinyTensors(): Map<string, HostTensor> {
  return new Map(Object.entries(SHAPES).map(([name, shape]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i / 16);
    return [name, { name, dtype: "F32", shape, data } satisfies HostTensor];
  }));
}

export function tinyFiles(tensors = tinyTensors(), config: object = TINY_CONFIG): Map<string, Uint8Array | string> {
  return new Map<string, Uint8Array | string>([["config.json", JSON.stringify(config)], ["model.safetensors", encodeSafetensors([...tensors.values()])]]);
}
