import type { Device } from "../device.ts";
import { loadModel, type AdapterUse, type GenerateOptions, type LanguageModel, type LoadedAdapter } from "../commands/language-model.ts";
import { train } from "../commands/train.ts";
import { FormatError, MemoryError } from "../errors.ts";
import { openSource } from "../io/open-source.ts";
import type { TokenRow } from "../data/collate.ts";
import type { SourceFolder } from "../io/types.ts";
import { demoFiles, demoText } from "./demo-files.ts";
import { deviceFor, gpuName, memoryOf, pagingOn } from "./devices.ts";
import type { Exhibit } from "./exhibit.ts";
import { heldOut } from "./held-out.ts";
import { DEFAULT_SETTINGS, parseSession, type DataFacts, type Listener, type Measured, type ModelFacts, type Opened, type Point, type RunFacts, type SessionState, type Settings } from "./session.ts";
import { openStorage, type Storage } from "./storage.ts";
import { takeModel } from "./take-model.ts";
import { unzipAdapter, zipFolder } from "./zip.ts";

const EXHIBIT = "exhibit.json";
const SAVE_STEPS = 10; // at most so many steps are lost to a reload
const MOST_NEW = 160; // tokens of an answer
const SAMPLE = { maxNewTokens: 60, temperature: 0.7, topK: 40, seed: 8 };

/** Everything that computes or stores, in a worker of its own; the page only shows. One call at a time. */
export class Engine {
  #storage!: Storage;
  #state: SessionState = { version: 2, settings: DEFAULT_SETTINGS };
  #device: Device | undefined;
  #deviceKey = "";
  #unused = 0; // bytes of the device when it was new
  #model: LanguageModel | undefined;
  #adapter: LoadedAdapter | undefined;
  #stop: AbortController | undefined;

  async open(): Promise<Opened> {
    this.#storage = await openStorage();
    this.#state = parseSession(await this.#storage.readSession());
    if (this.#state.model && !(await this.#storage.folder("model"))) this.#state = { version: 2, settings: this.#state.settings };
    await this.run();
    return this.#opened();
  }

  /** A browser that cannot compute still shows what is stored. */
  async #opened(): Promise<Opened> {
    const common = { state: this.#state, gpu: await gpuName(), notice: this.#storage.notice };
    try {
      return { ...common, device: (await this.#on(this.#state.settings)).description, trouble: undefined };
    } catch (error) {
      return { ...common, device: undefined, trouble: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Quantizes the demo, or files that a person chose, into the page's storage. */
  async chooseModel(files: readonly File[] | "demo", name: string, settings: Settings, tell: Listener): Promise<ModelFacts> {
    const source = files === "demo" ? await demoFiles() : await openSource(files, { name: files.length === 1 ? files[0].name : name });
    const device = await this.#on(settings);
    this.#forgetModel();
    const { exhibit, ...facts } = await takeModel(source, await this.#storage.sink("model"), {
      device, signal: this.#begin(), onProgress: (done, total) => tell({ type: "progress", what: "Quantizing", done, total }),
    });
    await this.#keepExhibit(exhibit);
    await this.#storage.newRun();
    const { config, tokenizer } = await this.#languageModel(settings, tell);
    const model = { name: source.name, ...facts, context: config.maxPositionEmbeddings, chat: tokenizer.hasChatTemplate };
    this.#change({ model, run: undefined });
    return model;
  }

  async chooseData(file: File | "demo", settings: Settings): Promise<DataFacts> {
    const chosen = file === "demo" ? { name: "alice.txt", bytes: await demoText() } : { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
    if (!/\.(txt|jsonl)$/i.test(chosen.name)) throw new FormatError(chosen.name, "not training data", { expected: "a .txt or .jsonl file", got: chosen.name.replace(/^.*\./, ".") });
    heldOut(chosen, await this.#languageModel(settings, () => {}), settings.length);
    const sink = await this.#storage.sink("data");
    const target = await sink.create(chosen.name);
    await target.write(0, chosen.bytes);
    await target.close();
    await sink.commit();
    await this.#storage.newRun();
    const data = { name: chosen.name, bytes: chosen.bytes.length };
    this.#change({ data, run: undefined });
    return data;
  }

  /** Starts a run, or goes on with the one that was paused. Ends when it is done or paused. */
  async train(settings: Settings, resume: boolean, tell: Listener): Promise<RunFacts> {
    const signal = this.#begin();
    if (resume) settings = this.#state.run!.settings; // or the bits of the run would change
    const { train: trainFile, rows } = heldOut(await this.#data(), await this.#languageModel(settings, tell), settings.length);
    const before = resume ? this.#state.run!.before : await this.#measure(rows, settings, undefined, tell);
    if (!resume) tell({ type: "measured", when: "before", measured: before });
    const points: Point[] = resume ? [...this.#state.run!.points] : [];
    const output = resume ? await this.#storage.run() : await this.#storage.newRun();
    const checkpoint = resume ? await this.#storage.newestCheckpoint() : undefined;
    while (points.length && points.at(-1)![0] > (await stepOf(checkpoint))) points.pop(); // done after the last save: done again
    const run: RunFacts = { status: "running", settings, before, step: points.length, points };
    this.#change({ settings, run });
    this.#forgetModel(); // training loads its own copy
    const device = await this.#on(settings);
    const result = await train({
      model: await this.#stored(), data: trainFile, output, device, resume: checkpoint, signal,
      r: settings.r, loraAlpha: settings.loraAlpha, learningRate: settings.learningRate, lrSchedulerType: "linear",
      warmupSteps: Math.min(10, settings.steps), maxSteps: settings.steps, perDeviceTrainBatchSize: settings.batch, gradientAccumulationSteps: 1,
      maxLength: settings.length, saveSteps: SAVE_STEPS, paging: pagingOn(device),
      onStep: ({ step, loss, tokensPerSecond, paging }) => {
        points.push([step, loss]);
        tell({ type: "step", point: [step, loss], steps: settings.steps, tokensPerSecond, memory: memoryOf(device), paging });
      },
      onProgress: (event) => {
        if (event.phase === "saved") this.#change({ run: { ...run, step: points.length, points } });
      },
    });
    const ended: RunFacts = { ...run, status: result.interrupted === undefined ? "done" : "paused", step: result.steps, points };
    this.#change({ run: ended }); // whatever becomes of the measurement
    const after = await this.#measureRun(rows, settings, result.interrupted === undefined, tell);
    tell({ type: "measured", when: "after", measured: after });
    this.#change({ run: { ...ended, after } });
    return { ...ended, after };
  }

  /** The run as it was left, by an error or by closing the page: it can go on from its last checkpoint, if there is one. */
  async run(): Promise<RunFacts | undefined> {
    const { run } = this.#state;
    if (run?.status !== "running") return run;
    const saved = await stepOf(await this.#storage.newestCheckpoint());
    this.#change({ run: saved ? { ...run, status: "paused", step: saved, points: run.points.filter(([step]) => step <= saved) } : undefined });
    return this.#state.run;
  }

  /** Ends what runs now: training saves a checkpoint after its step, an answer stops. */
  pause(): void {
    this.#stop?.abort(new DOMException("stopped", "AbortError"));
  }

  /** Continues a text or answers in a conversation, with the trained or loaded adapter or without. */
  async generate(input: Pick<GenerateOptions, "prompt" | "messages">, withAdapter: boolean, settings: Settings, tell: Listener): Promise<string> {
    const signal = this.#begin();
    const model = await this.#languageModel(settings, tell);
    const adapters = withAdapter ? [{ adapter: await this.#currentAdapter(model) }] : [];
    return this.#write(model, { maxNewTokens: MOST_NEW, ...input }, adapters, tell, signal);
  }

  /** PEFT's files in a zip. */
  async adapterZip(): Promise<Uint8Array> {
    const folder = await this.#adapterFolder();
    if (!folder) throw new FormatError("adapter", "nothing to download", { expected: "a run that has saved", got: "none" });
    return zipFolder(folder);
  }

  /** An adapter from a zip or from PEFT's two files, in place of the trained one. */
  async loadAdapter(files: readonly File[], settings: Settings): Promise<string> {
    const folder = await unzipAdapter(files);
    const model = await this.#languageModel(settings, () => {});
    const adapter = await model.loadAdapter(folder);
    this.#adapter?.dispose();
    this.#adapter = adapter;
    return `${folder.name}, rank ${adapter.rank}`;
  }

  async exhibit(): Promise<Exhibit | undefined> {
    const folder = await this.#storage.folder("exhibit");
    return folder && ((JSON.parse(await folder.readText(EXHIBIT)) as Exhibit | null) ?? undefined);
  }

  /** Forgets model, data and run. */
  async startOver(): Promise<Opened> {
    this.#forgetModel();
    await this.#storage.clear();
    this.#state = { version: 2, settings: DEFAULT_SETTINGS };
    return this.#opened();
  }

  #begin(): AbortSignal {
    this.#stop = new AbortController();
    return this.#stop.signal;
  }

  #change(part: Partial<SessionState>): void {
    this.#state = { ...this.#state, ...part };
    void this.#storage.writeSession(JSON.stringify(this.#state)).catch(() => undefined); // the files themselves tell of a full disk
  }

  /** The device of these settings; another one is made only when they ask for another. */
  async #on(settings: Settings): Promise<Device> {
    const key = `${settings.device} ${settings.megabytes}`;
    if (this.#device && this.#deviceKey === key) return this.#device;
    return this.#replaceDevice(await deviceFor(settings), key);
  }

  async #replaceDevice(next: Device, key: string): Promise<Device> {
    this.#forgetModel();
    await this.#device?.dispose();
    this.#deviceKey = key;
    this.#unused = next.memory.live;
    return (this.#device = next);
  }

  async #languageModel(settings: Settings, tell: Listener): Promise<LanguageModel> {
    const device = await this.#on(settings);
    if (this.#model) return this.#model;
    const model = await this.#stored();
    const load = (on: Device): Promise<LanguageModel> => loadModel({
      model, device: on, paging: pagingOn(on), onProgress: (done, total) => tell({ type: "progress", what: "Loading", done, total }),
    });
    try {
      return (this.#model = await load(device));
    } catch (error) {
      if (!(error instanceof MemoryError) || device.memory.live <= this.#unused) throw error;
      // Buffers that a GPU keeps from the training before may be what is missing under a budget: a new device has none.
      return (this.#model = await load(await this.#replaceDevice(await deviceFor(settings), this.#deviceKey)));
    }
  }

  /** The model in storage, by the name that a person knows: adapters tell it. */
  async #stored(): Promise<SourceFolder> {
    const folder = await this.#storage.folder("model");
    if (!folder) throw new FormatError("model", "none chosen yet");
    return { ...folder, name: this.#state.model?.name ?? folder.name };
  }

  #forgetModel(): void {
    this.#adapter?.dispose();
    this.#model?.dispose();
    this.#adapter = this.#model = undefined;
  }

  async #data(): Promise<{ name: string; bytes: Uint8Array }> {
    const folder = await this.#storage.folder("data");
    const [name] = folder ? await folder.list() : [];
    if (!folder || name === undefined) throw new FormatError("data", "none chosen yet");
    const source = await folder.open(name);
    return { name, bytes: await source.read(0, source.size) };
  }

  async #adapterFolder(): Promise<SourceFolder | undefined> {
    return (await this.#storage.result()) ?? (await this.#storage.newestCheckpoint());
  }

  async #currentAdapter(model: LanguageModel): Promise<LoadedAdapter> {
    if (this.#adapter) return this.#adapter;
    const folder = await this.#adapterFolder();
    if (!folder) throw new FormatError("adapter", "none yet", { expected: "a trained or loaded adapter", got: "none", hint: "train first, or load one" });
    return (this.#adapter = await model.loadAdapter(folder));
  }

  async #measureRun(rows: readonly TokenRow[], settings: Settings, done: boolean, tell: Listener): Promise<Measured> {
    const folder = done ? await this.#storage.result() : await this.#storage.newestCheckpoint();
    return this.#measure(rows, settings, folder, tell);
  }

  async #measure(rows: readonly TokenRow[], settings: Settings, folder: SourceFolder | undefined, tell: Listener): Promise<Measured> {
    const model = await this.#languageModel(settings, tell);
    if (folder) {
      this.#adapter?.dispose();
      this.#adapter = await model.loadAdapter(folder);
    }
    const adapters = folder ? [{ adapter: this.#adapter! }] : [];
    const onProgress = (done: number, total: number): void => tell({ type: "progress", what: "Measuring on unseen text", done, total });
    const { loss } = await model.evaluate(rows, { adapters, batchSize: settings.batch, onProgress });
    return { loss, sample: await this.#write(model, { prompt: settings.prompt }, adapters, () => {}, undefined) };
  }

  async #write(model: LanguageModel, input: Parameters<LanguageModel["generate"]>[0], adapters: readonly AdapterUse[], tell: Listener, signal: AbortSignal | undefined): Promise<string> {
    let text = "";
    try {
      for await (const piece of model.generate({ ...SAMPLE, ...input, adapters, signal })) {
        text += piece;
        tell({ type: "piece", text: piece });
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
    return text;
  }

  async #keepExhibit(exhibit: Exhibit | undefined): Promise<void> {
    const sink = await this.#storage.sink("exhibit");
    await sink.writeText(EXHIBIT, JSON.stringify(exhibit ?? null));
    await sink.commit();
  }
}

async function stepOf(checkpoint: SourceFolder | undefined): Promise<number> {
  return checkpoint ? (JSON.parse(await checkpoint.readText("trainer_state.json")) as { global_step: number }).global_step : 0;
}
