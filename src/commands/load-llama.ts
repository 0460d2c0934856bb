import type { Device } from "../device.ts";
import type { DType } from "../dtype.ts";
import { FormatError } from "../errors.ts";
import type { Bnb4Tensor, Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { LINEARS, type LinearName } from "../nn/activations.ts";
import { DecoderLayer } from "../nn/decoder-layer.ts";
import { Linear } from "../nn/linear.ts";
import { headSlice } from "../nn/head.ts";
import { linearPath, Llama, type LlamaParts } from "../nn/llama.ts";
import type { Weight } from "../nn/weight.ts";
import type { PagingOptions } from "../pager/pager.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { PagedWeights } from "./paged-weights.ts";
import { quantizeWhileLoading, type LoadQuantization } from "./quantize-while-loading.ts";
import { CHUNK, readAsF32 } from "./read-tensor.ts";

export interface LoadOptions {
  /** What linears that are not yet in 4 bits become; without it they stay as they are, in float32. */
  readonly quantization?: LoadQuantization | undefined;
  /** Keeps the 4-bit linears, and a head in floats, in pages that share frames; by default everything is on the device. */
  readonly paging?: PagingOptions | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a model of the checkpoint's family onto the device, a chunk at a time. What is paged is read when it is used, so the checkpoint must stay open as long as a model with a `pager`. @throws FormatError for a missing tensor
 */
export async function loadLlama(device: Device, checkpoint: Checkpoint, options: LoadOptions = {}): Promise<Llama> {
  const { config } = checkpoint;
  const pages = options.paging && new PagedWeights(device, checkpoint.name, options.paging);
  const loader = new Loader(device, checkpoint, options, pages);
  const layers: DecoderLayer[] = [];
  for (let i = 0; i < config.numHiddenLayers; i++) layers.push(await loader.layer(i));
  const norm = await loader.dense("model.norm.weight", [config.hiddenSize]);
  const ends = await loader.ends();
  loader.finish();
  await device.finish();
  return new Llama(device, { shape: config, layers, norm, ...ends, pager: pages?.pager() }, { theta: config.ropeTheta, scaling: config.ropeScaling });
}

class Loader {
  readonly #device: Device;
  readonly #checkpoint: Checkpoint;
  readonly #options: LoadOptions;
  readonly #pages: PagedWeights | undefined;
  readonly #staging: Tensor; // u16[CHUNK], for f16 and bf16
  readonly #into = new Uint8Array(CHUNK); // one chunk of codes after the other
  #done = 0;
  readonly #total: number;

  constructor(device: Device, checkpoint: Checkpoint, options: LoadOptions, pages: PagedWeights | undefined) {
    this.#pages = pages;
    this.#device = device;
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#staging = device.allocate("bf16", [CHUNK], "staging");
    this.#total = [...checkpoint.tensors.values()].reduce((sum, t) => sum + t.storageBytes, 0);
  }

  finish(): void {
    this.#device.free(this.#staging);
  }

  #find(name: string, shape: readonly number[]): DenseTensor | Bnb4Tensor {
    const tensor = this.#checkpoint.tensors.get(name);
    if (!tensor) throw new FormatError(this.#checkpoint.name, `no tensor ${name}`, { expected: `[${shape}]`, got: "none" });
    if (String(tensor.shape) !== String(shape)) {
      throw new FormatError(this.#checkpoint.name, `shape of ${name}`, { expected: `[${shape}]`, got: `[${tensor.shape}]`, hint: "config.json and the weights belong to different models" });
    }
    return tensor;
  }

  #progress(tensor: { storageBytes: number }): void {
    this.#done += tensor.storageBytes;
    this.#options.onProgress?.(this.#done, this.#total);
  }

  async dense(name: string, shape: readonly number[]): Promise<Tensor> {
    const source = this.#find(name, shape);
    if (source.kind === "bnb4") throw new FormatError(this.#checkpoint.name, `storage of ${name}`, { expected: "floats", got: source.state.quantType });
    const target = this.#device.allocate("f32", shape, name);
    await readAsF32(this.#device, source, this.#staging, (chunk, at) => viewTensor(target, [chunk], at), this.#options.signal);
    this.#progress(source);
    return target;
  }

  /** Embedding and head: in 4 bits where the file has them so, else in float32. */
  async asStored(name: string, shape: readonly [number, number]): Promise<Weight> {
    const source = this.#find(name, shape);
    if (source.kind === "dense") return { kind: "dense", out: shape[0], in: shape[1], values: await this.dense(name, shape) };
    const weight = await this.#bnb4(source);
    this.#progress(source);
    return weight;
  }

  /** Embedding and head. */
  async ends(): Promise<Pick<LlamaParts, "embedding" | "head">> {
    const { vocabSize, hiddenSize, tieWordEmbeddings } = this.#checkpoint.config;
    const table = [vocabSize, hiddenSize] as const;
    const names = ["model.embed_tokens.weight", tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"];
    const [first, last] = names.map((name) => this.#find(name, table));
    const pages = this.#pages?.any ? this.#pages : undefined;
    const slices = pages && last.kind === "dense" ? pages.head(last, headSlice(this.#checkpoint.config)) : undefined;
    const embedding = pages && first.kind === "dense" ? pages.embedding(first, tieWordEmbeddings ? slices : undefined) : await this.asStored(names[0], table);
    const whole = async (): Promise<Weight> => (tieWordEmbeddings && embedding.kind !== "rows" ? embedding : this.asStored(names[1], table));
    return { embedding, head: slices ?? (await whole()) };
  }

  async layer(i: number): Promise<DecoderLayer> {
    const { config } = this.#checkpoint;
    const { hiddenSize: hidden, intermediateSize: inner } = config;
    const heads = config.numAttentionHeads * config.headDim;
    const kv = config.numKeyValueHeads * config.headDim;
    const sizes: Record<LinearName, readonly [number, number]> = {
      q_proj: [heads, hidden], k_proj: [kv, hidden], v_proj: [kv, hidden], o_proj: [hidden, heads],
      gate_proj: [inner, hidden], up_proj: [inner, hidden], down_proj: [hidden, inner],
    };
    const linears = {} as Record<LinearName, Linear>;
    for (const name of LINEARS) {
      const path = linearPath(i, name);
      const weight = await this.#weight(`${path}.weight`, sizes[name]);
      const biased = path.includes("self_attn") ? config.attentionBias : config.mlpBias;
      linears[name] = new Linear(path, weight, biased ? await this.dense(`${path}.bias`, [sizes[name][0]]) : undefined);
    }
    await this.#pages?.endLayer(`model.layers.${i}`);
    const norm = (which: string): Promise<Tensor> => this.dense(`model.layers.${i}.${which}.weight`, [hidden]);
    return new DecoderLayer(config, linears, await norm("input_layernorm"), await norm("post_attention_layernorm"));
  }

  async #weight(name: string, shape: readonly [number, number]): Promise<Weight> {
    const source = this.#find(name, shape);
    const { quantization } = this.#options;
    let weight: Weight;
    if (source.kind === "bnb4") weight = this.#pages ? this.#pages.stored(source) : await this.#bnb4(source);
    else if (quantization) {
      const made = await quantizeWhileLoading(this.#device, source, this.#staging, quantization, this.#options.signal);
      weight = this.#pages ? await this.#pages.made(made) : made;
    } else return { kind: "dense", out: shape[0], in: shape[1], values: await this.dense(name, shape) };
    this.#progress(source);
    return weight;
  }

  async #bnb4(source: Bnb4Tensor): Promise<Weight> {
    const device = this.#device;
    const { state } = source;
    const put = (dtype: DType, name: string, data: Float32Array | Uint8Array): Tensor => {
      const tensor = device.allocate(dtype, [data.length], `${source.name}.${name}`);
      device.write(tensor, data);
      return tensor;
    };
    const bytes = Math.ceil(elementsOf(source.shape) / 2);
    const packed = device.allocate("u8", [bytes], source.name);
    for (let at = 0; at < bytes; at += CHUNK) {
      this.#options.signal?.throwIfAborted();
      const end = Math.min(at + CHUNK, bytes);
      const part = await source.packed(at, end, this.#into.subarray(0, end - at));
      device.write(viewTensor(packed, [part.length], at), part);
    }
    const absmax = await source.absmax();
    const code = put("f32", "quant_map", source.quantMap);
    return {
      kind: "4bit", out: source.shape[0], in: source.shape[1], packed, code,
      absmax: put(absmax instanceof Float32Array ? "f32" : "u8", "absmax", absmax),
      nestedAbsmax: source.nestedAbsmax ? put("f32", "nested_absmax", source.nestedAbsmax) : code,
      nestedCode: source.nestedQuantMap ? put("f32", "nested_quant_map", source.nestedQuantMap) : code,
      blocksize: state.blocksize, nested: state.nested !== undefined, nestedOffset: state.nested?.offset ?? 0,
    };
  }
}
