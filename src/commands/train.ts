import type { StepPlan } from "../data/step-plan.ts";
import type { Device } from "../device.ts";
import { NibbleError } from "../errors.ts";
import type { AdapterMatrices } from "../format/peft.ts";
import type { RunFolder } from "../io/run-folder.ts";
import type { SourceFolder } from "../io/types.ts";
import { BatchPass } from "../nn/batch-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { AdapterParameters, LoraModule } from "../nn/lora.ts";
import { AdamW, ADAMW_DEFAULTS } from "../optim/adamw.ts";
import { Movement, refuseZeroLoss } from "../optim/computed.ts";
import { learningRateAt, warmupOf } from "../optim/schedule.ts";
import type { PagingOptions, PagingStats } from "../pager/pager.ts";
import { queueStep, type StepResult } from "../optim/training-step.ts";
import { adapterModules, attachForTraining, checkAdapter, initialAdapter } from "./attach-adapter.ts";
import { evaluateRows } from "./evaluate.ts";
import { fitMemory } from "./fit-memory.ts";
import { loadLlama } from "./load-llama.ts";
import { quantizationOf } from "./quantize-while-loading.ts";
import { resultFiles, checkpointFiles, restoreOptimizer } from "./run-files.ts";
import { passOptionsOf, prepare, type Prepared } from "./train-prepare.ts";
import type { TrainOptions } from "./train-options.ts";
import type { LogEntry, TrainerState } from "./training-checkpoint.ts";

/** A file of training data: `.txt` or `.jsonl`, by its name. */
export interface DataFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface StepEvent {
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  /** What the pager did so far; undefined when the whole base is on the device. */
  readonly paging: PagingStats | undefined;
}

export type TrainProgress =
  | { readonly phase: "load"; readonly done: number; readonly total: number }
  | { readonly phase: "ready"; readonly trainable: number; readonly modules: number; readonly rows: number; readonly steps: number; readonly recompute: boolean; readonly quantization: string; readonly context: number; readonly truncated: number; readonly leftOver: number }
  | { readonly phase: "evaluate"; readonly done: number; readonly total: number }
  | { readonly phase: "saved"; readonly path: string };

export interface TrainCall extends Partial<TrainOptions> {
  readonly model: SourceFolder;
  readonly data: DataFile;
  readonly evalData?: DataFile | undefined;
  readonly output: RunFolder;
  readonly device: Device;
  /** Limits of paging, which begins by itself when the base does not fit into the device's memory. */
  readonly paging?: PagingOptions | undefined;
  /** Start from this adapter; it brings its own r, alpha and targets. */
  readonly initAdapter?: SourceFolder | undefined;
  /** A folder `checkpoint-N` to go on from. */
  readonly resume?: SourceFolder | undefined;
  readonly onStep?: (event: StepEvent) => void;
  readonly onProgress?: (event: TrainProgress) => void;
  /** When it fires the run stops after the current step, with a checkpoint saved. */
  readonly signal?: AbortSignal | undefined;
}

export interface TrainResult {
  /** Loss of the last step, in nats a token. */
  readonly loss: number;
  /** Loss on `evalData` after training. */
  readonly evalLoss: number | undefined;
  readonly tokensPerSecond: number;
  readonly steps: number;
  readonly outputDir: string;
  /** What the pager did; undefined when the whole base was on the device. */
  readonly paging: PagingStats | undefined;
  /** The checkpoint that was saved because `signal` fired. */
  readonly interrupted: string | undefined;
}

/**
 * Trains a LoRA adapter over a frozen base, which is quantized to NF4 with double quantization while it
 * is loaded unless it is in 4 bits already. @throws ShapeError, FormatError, MemoryError
 */
export async function train(call: TrainCall): Promise<TrainResult> {
  const run = await TrainingRun.prepare(call);
  try {
    return await run.loop();
  } finally {
    await run.close();
  }
}

type AdapterValues = ReadonlyMap<string, AdapterMatrices>;

/** A step whose result is on its way. */
interface Queued {
  readonly step: number;
  readonly rate: number;
  readonly result: Promise<StepResult>;
}

class TrainingRun {
  readonly #call: TrainCall;
  readonly #prepared: Prepared;
  readonly #model: Llama;
  readonly #parameters: AdapterParameters;
  readonly #optimizer: AdamW;
  readonly #pass: BatchPass;
  readonly #log: LogEntry[];
  readonly #movement: Movement;
  #told = 0; // when the last step was accounted for
  #seconds = 0;
  #tokens = 0;

  private constructor(call: TrainCall, prepared: Prepared, model: Llama, modules: LoraModule[], initial: AdapterValues) {
    this.#call = call;
    this.#prepared = prepared;
    this.#model = model;
    const { options, adapter } = prepared;
    this.#parameters = attachForTraining(model, modules, adapter.loraDropout, options.seed);
    this.#optimizer = new AdamW(model.device, this.#parameters, { ...ADAMW_DEFAULTS, weightDecay: options.weightDecay, maxGradNorm: options.maxGradNorm });
    this.#parameters.write(initial);
    this.#movement = new Movement(initial);
    const passOptions = passOptionsOf(model, prepared, modules);
    this.#pass = new BatchPass(model, passOptions);
    this.#log = [...(prepared.resumed?.log_history ?? [])];
    call.onProgress?.({
      phase: "ready", trainable: this.#parameters.count, modules: modules.length, rows: prepared.dataset.rows.length,
      steps: prepared.plan.totalSteps, recompute: passOptions.recompute, quantization: prepared.state.base.quantization, context: prepared.checkpoint.config.maxPositionEmbeddings, truncated: prepared.dataset.truncated, leftOver: prepared.dataset.leftOver,
    });
  }

  static async prepare(call: TrainCall): Promise<TrainingRun> {
    const prepared = await prepare(call);
    let model: Llama | undefined;
    try {
      model = await TrainingRun.#load(call, prepared);
      const modules = adapterModules(model, prepared.adapter);
      if (prepared.initial) checkAdapter(call.initAdapter?.name ?? call.resume!.name, modules, prepared.initial);
      const run = await TrainingRun.#place(call, prepared, model, prepared.initial ?? initialAdapter(modules, prepared.options.seed));
      if (prepared.resumed) await restoreOptimizer(call.resume!, run.#parameters, run.#optimizer.moments);
      return run;
    } catch (error) {
      model?.dispose();
      await model?.pager?.close();
      await prepared.checkpoint.close();
      throw error;
    }
  }

  static async #load(call: TrainCall, prepared: Prepared): Promise<Llama> {
    const onProgress = (done: number, total: number): void => call.onProgress?.({ phase: "load", done, total });
    const options = { quantization: quantizationOf(prepared.options), paging: call.paging, onProgress, signal: call.signal };
    const silent = { ...call, onProgress: undefined };
    const paging = await fitMemory(call.device, prepared.checkpoint, options, (measured) => TrainingRun.#place(silent, prepared, measured, new Map()));
    return loadLlama(call.device, prepared.checkpoint, { ...options, paging });
  }

  /** Allocates everything that the run needs beside the model. */
  static async #place(call: TrainCall, prepared: Prepared, model: Llama, initial: AdapterValues): Promise<TrainingRun> {
    const run = new TrainingRun(call, prepared, model, adapterModules(model, prepared.adapter), initial);
    // Saving needs a buffer for reading the adapter back: it must be there before frames take what is left.
    await run.#parameters.read();
    await run.#optimizer.moments.prepare();
    return run;
  }

  async loop(): Promise<TrainResult> {
    const { plan, options, resumed, dataset, adapter } = this.#prepared;
    const { device } = this.#call;
    const first = resumed?.global_step ?? 0;
    const { lrSchedulerType: kind, learningRate, warmupSteps, warmupRatio } = options;
    const { totalSteps } = plan;
    const schedule = { kind, learningRate, totalSteps, warmupSteps: warmupOf({ kind, totalSteps, warmupSteps, warmupRatio }) };
    let queued: Queued | undefined;
    let interrupted: string | undefined;
    for (let step = first; step < totalSteps && !interrupted; step++) {
      if (!queued) this.#told = performance.now();
      const rate = learningRateAt(step, schedule);
      const rows = plan.rowsOf(step).map((i) => dataset.rows[i]);
      const { result } = await queueStep(device, this.#pass, this.#optimizer, rows, options.perDeviceTrainBatchSize, step, rate, adapter.loraDropout > 0);
      if (queued) await this.#account(queued);
      queued = { step, rate, result };
      const last = step + 1 === totalSteps;
      const due = options.saveSteps > 0 && (step + 1) % options.saveSteps === 0;
      // A GPU gets the next step before it has told of this one; a CPU has nothing to gain from that.
      if (device.kind === "webgpu" && step > first && !last && !due && !this.#stopping) continue;
      await this.#account(queued);
      queued = undefined;
      if (step === first) await this.#moved(step + 1);
      const stop = !last && this.#stopping;
      if (stop || due) {
        const path = await this.#saveCheckpoint(step + 1);
        if (stop) interrupted = path;
      }
    }
    return this.#finish(interrupted);
  }

  get #stopping(): boolean {
    return this.#call.signal?.aborted === true;
  }

  /** Waits for a step, writes it down and tells of it. */
  async #account({ step, rate, result }: Queued): Promise<void> {
    const { plan } = this.#prepared;
    const { loss, gradNorm, tokens, targets } = await result;
    const elapsed = (performance.now() - this.#told) / 1000;
    this.#told = performance.now();
    this.#seconds += elapsed;
    this.#tokens += tokens;
    const epoch = epochAfter(step, plan);
    this.#log.push({ step: step + 1, epoch, loss, grad_norm: gradNorm, learning_rate: rate });
    this.#call.onStep?.({ step: step + 1, maxSteps: plan.totalSteps, epoch, loss, gradNorm, learningRate: rate, tokensPerSecond: tokens / elapsed, paging: this.#model.pager?.stats });
    this.#refuseFault(loss, gradNorm, step + 1);
    refuseZeroLoss(`train: step ${step + 1}`, loss, targets);
    this.#movement.stepped(rate, gradNorm);
  }

  /** A run that has diverged would only overwrite good checkpoints with NaN. */
  #refuseFault(loss: number, gradNorm: number, step: number): void {
    if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
    throw new NibbleError("ERR_DIVERGED", `train: step ${step}`, "the run has diverged", {
      expected: "a finite loss and gradient norm", got: `loss ${loss}, gradient norm ${gradNorm}`,
      hint: "lower the learning rate, or go on from the last checkpoint with --resume",
    });
  }

  async #finish(interrupted: string | undefined): Promise<TrainResult> {
    const { evalSet, plan } = this.#prepared;
    const loss = this.#log.at(-1)?.loss ?? NaN;
    const steps = this.#log.at(-1)?.step ?? 0;
    const tokensPerSecond = this.#seconds > 0 ? this.#tokens / this.#seconds : 0;
    let evalLoss: number | undefined;
    if (!interrupted) {
      // Saved first: whoever interrupts the measurement must not lose the training.
      await this.#call.output.saveResult(resultFiles(this.#prepared.adapter, await this.#moved(plan.totalSteps), this.#state(plan.totalSteps)));
      this.#call.onProgress?.({ phase: "saved", path: this.#call.output.name });
      if (evalSet) {
        const progress = (done: number, total: number): void => this.#call.onProgress?.({ phase: "evaluate", done, total });
        evalLoss = (await evaluateRows(this.#pass, evalSet.rows, this.#prepared.options.perDeviceTrainBatchSize, progress, this.#call.signal)).loss;
      }
    }
    return { loss, evalLoss, tokensPerSecond, steps, outputDir: this.#call.output.name, paging: this.#model.pager?.stats, interrupted };
  }

  #state(step: number): TrainerState {
    const { plan, state } = this.#prepared;
    return { ...state, global_step: step, epoch: step > 0 ? epochAfter(step - 1, plan) : 0, log_history: this.#log };
  }

  /** The adapter, read to be saved. @throws KernelError from a device that did not compute it. */
  async #moved(step: number): Promise<AdapterValues> {
    const matrices = await this.#parameters.read();
    this.#movement.check(`train: step ${step}`, matrices);
    return matrices;
  }

  async #saveCheckpoint(step: number): Promise<string> {
    const files = await checkpointFiles(this.#prepared.adapter, await this.#moved(step), this.#parameters, this.#optimizer.moments, this.#state(step));
    const path = await this.#call.output.saveCheckpoint(step, files);
    this.#call.onProgress?.({ phase: "saved", path });
    return path;
  }

  async close(): Promise<void> {
    this.#pass.dispose();
    this.#optimizer.dispose();
    for (const linear of this.#model.linears().values()) linear.loras = [];
    this.#parameters.dispose();
    this.#model.dispose();
    await this.#model.pager?.close();
    await this.#prepared.checkpoint.close();
  }
}

/** Epochs done after step `step`, with the fraction of the current one. */
function epochAfter(step: number, plan: StepPlan): number {
  return (step + 1) / plan.stepsPerEpoch;
}
