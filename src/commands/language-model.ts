import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import type { Checkpoint } from "../format/checkpoint.ts";
import type { SourceFolder } from "../io/types.ts";
import { BatchPass } from "../nn/batch-pass.ts";
import { DecodePass } from "../nn/decode-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { PagingOptions, PagingStats } from "../pager/pager.ts";
import type { Lora } from "../nn/lora.ts";
import { sampleToken, samplingOptions, type SamplingOptions } from "../text/sampling.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { ChatMessage } from "../text/chat.ts";
import { StopText } from "../text/stop-text.ts";
import { evaluateRows, type Evaluation } from "./evaluate.ts";
import { openModel } from "./open-model.ts";
import { placeBase } from "./place-base.ts";
import { PlacedAdapter } from "./placed-adapter.ts";
import { Recovery, type Recovered } from "./recovery.ts";
import type { TokenRow } from "../data/collate.ts";
import type { QuantizeOnLoad } from "./train-options.ts";

export interface LoadModelOptions {
  readonly model: SourceFolder;
  readonly device: Device;
  /** Quantize linears that are not in 4 bits while they are loaded; default `none`, as they are stored. */
  readonly quantize?: QuantizeOnLoad | undefined;
  readonly blocksize?: number | undefined;
  readonly doubleQuant?: boolean | undefined;
  /** Limits of paging, which begins by itself when the weights do not fit into the device's memory. */
  readonly paging?: PagingOptions | undefined;
  /** Tokens of the longest text to generate or measure, to know whether all fits; default 512. */
  readonly maxLength?: number | undefined;
  readonly onProgress?: (done: number, total: number) => void;
  /** Hears that the device failed and was replaced; the model is loaded again, and what was under way goes on. */
  readonly onRecovered?: (event: Recovered) => void;
  readonly signal?: AbortSignal | undefined;
}

/** An adapter in a model's device memory. It changes nothing until a call names it. */
export interface LoadedAdapter {
  readonly name: string;
  readonly rank: number;
  readonly loras: ReadonlyMap<string, Lora>;
  dispose(): void;
}

export interface AdapterUse {
  readonly adapter: LoadedAdapter;
  /** Factor on top of the adapter's own scaling; default 1. */
  readonly scale?: number;
}

export interface GenerateOptions extends Partial<SamplingOptions> {
  /** Text to continue, or … */
  readonly prompt?: string;
  /** … a conversation, rendered with the model's chat template. */
  readonly messages?: readonly ChatMessage[];
  readonly adapters?: readonly AdapterUse[];
  /** Default 128. */
  readonly maxNewTokens?: number;
  /** Token ids that end the answer, beside the model's own. */
  readonly stopTokens?: readonly number[];
  /** Texts that end the answer; they are not part of it. */
  readonly stop?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** A model ready to generate and to be measured. `Model` is what a runtime adds to it. */
export async function loadModel<M extends LanguageModel = LanguageModel>(options: LoadModelOptions, Model: new (...parts: ConstructorParameters<typeof LanguageModel>) => M = LanguageModel as never): Promise<M> {
  const checkpoint = await openModel(options.model);
  try {
    const tokenizer = loadTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
    const model = new Model(options, checkpoint, tokenizer);
    await model.ready();
    return model;
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

export class LanguageModel {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  readonly config: Checkpoint["config"];
  readonly name: string;
  readonly #options: LoadModelOptions;
  readonly #recovery: Recovery;
  readonly #adapters = new Set<PlacedAdapter>();
  #checkpoint: Checkpoint | undefined; // open while it is read
  #llama: Llama | undefined;
  #inForce: readonly AdapterUse[] | undefined;
  #done = 0; // tokens and batches, to know whether work gets on

  constructor(options: LoadModelOptions, checkpoint: Checkpoint, tokenizer: Tokenizer) {
    this.device = options.device;
    this.tokenizer = tokenizer;
    this.config = checkpoint.config;
    this.name = checkpoint.name;
    this.#options = options;
    this.#recovery = new Recovery(options.device, options.paging, checkpoint.config.numHiddenLayers);
    this.#checkpoint = checkpoint;
  }

  /** Loads what is not on the device yet. */
  async ready(): Promise<void> {
    await this.#surviving(async () => undefined);
  }

  /** `work` on the base, which is loaded anew as often as the device fails and `work` got further in between. */
  async #surviving<T>(work: (llama: Llama) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(this.#llama ?? (await this.#place()));
      } catch (error) {
        const recovered = await this.#recovery.from(error, this.#done, this.#llama?.pager);
        await this.#unload();
        this.#options.onRecovered?.(recovered);
      }
    }
  }

  async #place(): Promise<Llama> {
    const checkpoint = this.#checkpoint ??= await openModel(this.#options.model);
    const llama = await placeBase(this.#options, checkpoint, this.#recovery.paging);
    if (!llama.pager) await this.#close();
    for (const adapter of this.#adapters) await adapter.place(llama);
    this.#llama = llama;
    this.#hang(this.#inForce ?? []);
    return llama;
  }

  async #close(): Promise<void> {
    await this.#checkpoint?.close();
    this.#checkpoint = undefined;
  }

  async #unload(): Promise<void> {
    const llama = this.#llama;
    this.#llama = undefined;
    llama?.dispose();
    await llama?.pager?.close();
    await this.#close();
  }

  /** What the pager did so far; undefined when all weights are on the device. */
  get paging(): PagingStats | undefined {
    return this.#llama?.pager?.stats;
  }

  /** @throws FormatError when the adapter is for another model. */
  async loadAdapter(source: SourceFolder): Promise<LoadedAdapter> {
    const adapter = new PlacedAdapter(source, () => this.#adapters.delete(adapter));
    await this.#surviving((llama) => adapter.place(llama));
    this.#adapters.add(adapter);
    return adapter;
  }

  /** Streams the answer piece by piece; every piece is whole characters. */
  async *generate(options: GenerateOptions): AsyncGenerator<string, GenerationSummary> {
    const ids = this.#promptIds(options);
    const maxNewTokens = options.maxNewTokens ?? 128;
    if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) throw new ShapeError("generate", "maxNewTokens", { expected: "a whole number of at least 1", got: maxNewTokens });
    const longest = ids.length + maxNewTokens;
    const capacity = Math.min(longest, this.config.maxPositionEmbeddings);
    if (ids.length >= capacity) throw new ShapeError("generate", "prompt too long", { expected: `fewer than ${this.config.maxPositionEmbeddings} tokens`, got: ids.length });
    const { adapters = [] } = options;
    const release = this.#use(adapters);
    let pass: DecodePass | undefined;
    /** The logits after a sequence of which the cache has all but the last token, or nothing: in the beginning, and on a new device. */
    const logitsAfter = async (sequence: readonly number[]): Promise<Float32Array> => {
      const logits = await this.#surviving(async (llama) => {
        if (pass?.model !== llama) pass = new DecodePass(llama, capacity, rankOf(adapters));
        return pass.append(sequence.slice(pass.length));
      });
      this.#done++;
      return logits;
    };
    try {
      return yield* this.#decode(logitsAfter, ids, Math.min(longest, capacity + 1), options);
    } finally {
      pass?.dispose();
      release();
    }
  }

  async *#decode(logitsAfter: (sequence: readonly number[]) => Promise<Float32Array>, ids: number[], longest: number, options: GenerateOptions): AsyncGenerator<string, GenerationSummary> {
    const stops = new Set([...this.tokenizer.eosIds, ...this.config.eosTokenIds, ...(options.stopTokens ?? [])]);
    const sampling = samplingOptions(options);
    const decoder = this.tokenizer.streamDecoder({ skipSpecial: true });
    const stopText = new StopText(options.stop ?? []);
    const sequence = [...ids];
    let finish: GenerationSummary["finish"] = "length";
    let seconds = 0;
    for (let i = 0; sequence.length < longest; i++) {
      options.signal?.throwIfAborted();
      const began = performance.now();
      const logits = await logitsAfter(sequence);
      const id = sampleToken(logits, sampling, i, sequence);
      if (i > 0) seconds += (performance.now() - began) / 1000;
      if (stops.has(id)) { finish = "stop"; break; }
      sequence.push(id);
      const piece = stopText.push(decoder.push(id));
      if (piece) yield piece;
      if (stopText.found) { finish = "stop"; break; }
    }
    const rest = stopText.found ? "" : stopText.push(decoder.end()) + stopText.end();
    if (rest) yield rest;
    const tokens = sequence.length - ids.length;
    return { promptTokens: ids.length, tokens, finish, tokensPerSecond: seconds > 0 ? (tokens - 1) / seconds : 0, ids: sequence.slice(ids.length) };
  }

  #promptIds({ prompt, messages }: GenerateOptions): number[] {
    if ((prompt === undefined) === (messages === undefined)) throw new ShapeError("generate", "prompt or messages", { expected: "one of the two", got: prompt === undefined ? "neither" : "both" });
    const ids = messages
      ? this.tokenizer.encode(this.tokenizer.renderChat(messages, { addGenerationPrompt: true }), { special: false })
      : this.tokenizer.encode(prompt!, { special: true });
    if (ids.length) return ids;
    if (this.config.bosTokenId === undefined) throw new ShapeError("generate", "empty prompt", { expected: "at least one token", got: 0, hint: "this model has no token that begins a text" });
    return [this.config.bosTokenId];
  }

  /** Loss over rows of tokens, with adapters in force. */
  async evaluate(rows: readonly TokenRow[], options: { adapters?: readonly AdapterUse[]; batchSize?: number; onProgress?: (done: number, total: number) => void; signal?: AbortSignal | undefined } = {}): Promise<Evaluation> {
    const { adapters = [], batchSize = 1, onProgress, signal } = options;
    if (!rows.length) throw new FormatError("evaluate", "no rows", { expected: "at least one", got: 0 });
    const release = this.#use(adapters);
    const length = rows.reduce((most, row) => Math.max(most, row.inputIds.length), 1);
    const sizes = { batch: Math.min(batchSize, rows.length), length, microBatches: 1, rank: rankOf(adapters), training: false, recompute: true, dropout: false };
    const soFar = { rows: 0, sum: 0 };
    const progress = (done: number, total: number): void => {
      this.#done++;
      onProgress?.(done, total);
    };
    try {
      return await this.#surviving(async (llama) => {
        const pass = new BatchPass(llama, sizes);
        try {
          return await evaluateRows(pass, rows, batchSize, progress, signal, soFar);
        } finally {
          pass.dispose();
        }
      });
    } finally {
      release();
    }
  }

  /** Puts the adapters in force; one call at a time, since they hang on the shared weights. */
  #use(adapters: readonly AdapterUse[]): () => void {
    if (this.#inForce) throw new ShapeError(this.name, "the model is busy", { expected: "one generation or evaluation at a time", got: "a second one" });
    this.#inForce = adapters;
    this.#hang(adapters);
    return () => {
      this.#inForce = undefined;
      this.#hang([]);
    };
  }

  #hang(adapters: readonly AdapterUse[]): void {
    for (const [path, linear] of this.#llama?.linears() ?? []) {
      linear.loras = adapters.flatMap(({ adapter, scale = 1 }) => {
        const lora = adapter.loras.get(path);
        return lora && scale !== 0 ? [{ ...lora, scaling: lora.scaling * scale }] : [];
      });
    }
  }

  dispose(): void {
    void this.#unload();
  }

  /** As `dispose`, and waits until the files are closed: `await using model = await loadModel(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#unload();
  }
}

export interface GenerationSummary {
  readonly promptTokens: number;
  readonly tokens: number;
  readonly finish: "stop" | "length";
  /** New tokens a second, the prompt's own pass not counted. */
  readonly tokensPerSecond: number;
  readonly ids: readonly number[];
}

function rankOf(adapters: readonly AdapterUse[]): number {
  return Math.max(1, ...adapters.map(({ adapter }) => adapter.rank));
}
