import type { StepPlan } from "../data/step-plan.ts";
import type { Device } from "../device.ts";
import { NibbleError } from "../errors.ts";
import type { RunFolder } from "../io/run-folder.ts";
import type { SourceFolder } from "../io/types.ts";
import { refuseZeroLoss } from "../optim/computed.ts";
import { learningRateAt, warmupOf } from "../optim/schedule.ts";
import type { PagingOptions, PagingStats } from "../pager/pager.ts";
import { queueStep, type StepResult } from "../optim/training-step.ts";
import { evaluateRows, type EvaluatedSoFar } from "./evaluate.ts";
import type { Arrangement } from "./arrangement.ts";
import { PlacedRun, type Snapshot } from "./placed-run.ts";
import { Recovery, type Recovered } from "./recovery.ts";
import { resultFiles, checkpointFiles } from "./run-files.ts";
import { prepare, type Prepared } from "./train-prepare.ts";
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
  /** Processor time of the process since the step before; undefined where nobody tells it. */
  readonly cpuSeconds: number | undefined;
  /** What was paged so far; undefined when everything is on the device. */
  readonly paging: PagingStats | undefined;
}

export type TrainProgress =
  | { readonly phase: "load"; readonly done: number; readonly total: number }
  | { readonly phase: "ready"; readonly trainable: number; readonly modules: number; readonly rows: number; readonly steps: number; readonly recompute: boolean; readonly arrangement: Arrangement; readonly quantization: string; readonly context: number; readonly truncated: number; readonly leftOver: number }
  | { readonly phase: "evaluate"; readonly done: number; readonly total: number }
  | { readonly phase: "saved"; readonly path: string }
  /** The device failed and was replaced; the run goes on after `step` steps, and tells none of them twice. */
  | ({ readonly phase: "recovered"; readonly step: number } & Recovered);

export interface TrainCall extends Partial<TrainOptions> {
  readonly model: SourceFolder;
  readonly data: DataFile;
  readonly evalData?: DataFile | undefined;
  readonly output: RunFolder;
  readonly device: Device;
  /** Limits of paging, which begins by itself when not all fits into the device's memory. */
  readonly paging?: PagingOptions | undefined;
  /** Start from this adapter; it brings its own r, alpha and targets. */
  readonly initAdapter?: SourceFolder | undefined;
  /** A folder `checkpoint-N` to go on from. */
  readonly resume?: SourceFolder | undefined;
  /** Seconds of processor time that the process took so far, for `onStep`. */
  readonly cpuSeconds?: (() => number) | undefined;
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
  /** What was paged; undefined when everything was on the device. */
  readonly paging: PagingStats | undefined;
  /** The checkpoint that was saved because `signal` fired. */
  readonly interrupted: string | undefined;
}

/**
 * Trains a LoRA adapter over a frozen base, which is quantized to NF4 with double quantization while it
 * is loaded unless it is in 4 bits already. A device that is lost, or that runs out of memory, is replaced,
 * and the run goes on with the same losses. @throws ShapeError, FormatError, MemoryError, DeviceError
 */
export async function train(call: TrainCall): Promise<TrainResult> {
  const run = new TrainingRun(call, await prepare(call));
  try {
    return await run.loop();
  } finally {
    await run.close();
  }
}

/** Between two snapshots of a run whose device may be lost: so many steps are computed again at most. */
const SNAPSHOT_STEPS = 10;

/** A step whose result is on its way. */
interface Queued {
  readonly step: number;
  readonly rate: number;
  readonly result: Promise<StepResult>;
}

/** In seconds. */
interface Clocks {
  readonly wall: number;
  readonly cpu: number | undefined;
}

class TrainingRun {
  readonly #call: TrainCall;
  readonly #prepared: Prepared;
  readonly #recovery: Recovery;
  readonly #log: LogEntry[];
  readonly #measured: EvaluatedSoFar = { rows: 0, sum: 0 };
  #placed: PlacedRun | undefined;
  #snapshot: Snapshot | undefined;
  #ready = false; // has been told
  #told: Clocks = { wall: 0, cpu: undefined }; // when the last step was accounted for
  #seconds = 0;
  #tokens = 0;

  constructor(call: TrainCall, prepared: Prepared) {
    this.#call = call;
    this.#prepared = prepared;
    this.#recovery = new Recovery(call.device, call.paging, prepared.checkpoint.config.numHiddenLayers);
    this.#log = [...(prepared.resumed?.log_history ?? [])];
  }

  async loop(): Promise<TrainResult> {
    const interrupted = await this.#surviving((placed) => this.#steps(placed));
    const evalLoss = interrupted === undefined ? await this.#finish() : undefined;
    const { loss = NaN, step: steps = 0 } = this.#log.at(-1) ?? {};
    const tokensPerSecond = this.#seconds > 0 ? this.#tokens / this.#seconds : 0;
    return { loss, evalLoss, tokensPerSecond, steps, outputDir: this.#call.output.name, paging: this.#placed?.paging, interrupted };
  }

  /** `work` on what lies on the device, which is placed anew as often as the device fails and `work` got further in between. */
  async #surviving<T>(work: (placed: PlacedRun) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(this.#placed ??= await this.#place());
      } catch (error) {
        const recovered = await this.#recovery.from(error, this.#log.length + this.#measured.rows, this.#placed?.model.pager);
        await this.#placed?.dispose();
        this.#placed = undefined;
        this.#call.onProgress?.({ phase: "recovered", ...recovered, step: this.#begin });
      }
    }
  }

  async #place(): Promise<PlacedRun> {
    const { checkpoint, dataset, plan, state } = this.#prepared;
    const placed = await PlacedRun.load(this.#call, this.#prepared, this.#recovery.paging, this.#snapshot);
    if (!this.#ready) {
      this.#call.onProgress?.({
        phase: "ready", trainable: placed.parameters.count, modules: placed.modules.length, rows: dataset.rows.length, steps: plan.totalSteps,
        recompute: placed.recompute, arrangement: placed.arrangement, quantization: state.base.quantization, context: checkpoint.config.maxPositionEmbeddings, truncated: dataset.truncated, leftOver: dataset.leftOver,
      });
    }
    this.#ready = true;
    return placed;
  }

  /** Steps that are behind what lies on the device. */
  get #begin(): number {
    return this.#snapshot?.step ?? this.#prepared.resumed?.global_step ?? 0;
  }

  /** @returns the checkpoint of a run that was interrupted */
  async #steps(placed: PlacedRun): Promise<string | undefined> {
    const { plan, options, dataset, adapter } = this.#prepared;
    const { device } = this.#call;
    const { lrSchedulerType: kind, learningRate, warmupSteps, warmupRatio } = options;
    const { totalSteps } = plan;
    const schedule = { kind, learningRate, totalSteps, warmupSteps: warmupOf({ kind, totalSteps, warmupSteps, warmupRatio }) };
    const first = this.#begin;
    let queued: Queued | undefined;
    for (let step = first; step < totalSteps; step++) {
      if (!queued) this.#told = this.#now;
      const rate = learningRateAt(step, schedule);
      const rows = plan.rowsOf(step).map((i) => dataset.rows[i]);
      const { result } = await queueStep(device, placed.pass, placed.optimizer, rows, options.perDeviceTrainBatchSize, step, rate, adapter.loraDropout > 0);
      if (queued) await this.#account(placed, queued);
      queued = { step, rate, result };
      const done = step + 1;
      const last = done === totalSteps;
      const due = options.saveSteps > 0 && done % options.saveSteps === 0;
      const keep = due || (device.revive !== undefined && done % SNAPSHOT_STEPS === 0);
      // A GPU gets the next step before it has told of this one; a CPU has nothing to gain from that.
      if (device.kind === "webgpu" && step > first && !last && !keep && !this.#stopping) continue;
      await this.#account(placed, queued);
      queued = undefined;
      const stop = !last && this.#stopping && done === this.#log.at(-1)!.step;
      if (keep || stop) {
        const snapshot = await placed.snapshot(done);
        if (device.revive) this.#snapshot = snapshot;
        const path = due || stop ? await this.#saveCheckpoint(placed, snapshot) : undefined;
        if (stop) return path;
      } else if (step === first) await placed.read(done);
    }
    if (this.#snapshot?.step !== totalSteps) this.#snapshot = { step: totalSteps, param: await placed.read(totalSteps), moments: undefined };
    return undefined;
  }

  get #now(): Clocks {
    return { wall: performance.now() / 1000, cpu: this.#call.cpuSeconds?.() };
  }

  get #stopping(): boolean {
    return this.#call.signal?.aborted === true;
  }

  /** Waits for a step, writes it down and tells of it, unless that was done before the device failed. */
  async #account(placed: PlacedRun, { step, rate, result }: Queued): Promise<void> {
    const { plan } = this.#prepared;
    const { loss, gradNorm, tokens, targets } = await result;
    const [before, now] = [this.#told, this.#now];
    const elapsed = now.wall - before.wall;
    const cpuSeconds = now.cpu === undefined || before.cpu === undefined ? undefined : now.cpu - before.cpu;
    this.#told = now;
    placed.movement.stepped(rate, gradNorm);
    if (step < (this.#log.at(-1)?.step ?? 0)) return;
    this.#seconds += elapsed;
    this.#tokens += tokens;
    const epoch = epochAfter(step, plan);
    this.#log.push({ step: step + 1, epoch, loss, grad_norm: gradNorm, learning_rate: rate });
    this.#call.onStep?.({ step: step + 1, maxSteps: plan.totalSteps, epoch, loss, gradNorm, learningRate: rate, tokensPerSecond: tokens / elapsed, cpuSeconds, paging: placed.paging });
    this.#refuseFault(loss, gradNorm, step + 1);
    refuseZeroLoss(`train: step ${step + 1}`, loss, targets);
  }

  /** A run that has diverged would only overwrite good checkpoints with NaN. */
  #refuseFault(loss: number, gradNorm: number, step: number): void {
    if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
    throw new NibbleError("ERR_DIVERGED", `train: step ${step}`, "the run has diverged", {
      expected: "a finite loss and gradient norm", got: `loss ${loss}, gradient norm ${gradNorm}`,
      hint: "lower the learning rate, or go on from the last checkpoint with --resume",
    });
  }

  /** Saves the adapter and measures it. @returns the loss on `evalData` */
  async #finish(): Promise<number | undefined> {
    const { adapter, evalSet, options, plan } = this.#prepared;
    const { output, onProgress, signal } = this.#call;
    // Saved first: whoever interrupts the measurement must not lose the training.
    await output.saveResult(resultFiles(adapter, this.#snapshot!.param, this.#state(plan.totalSteps)));
    onProgress?.({ phase: "saved", path: output.name });
    if (!evalSet) return undefined;
    const progress = (done: number, total: number): void => onProgress?.({ phase: "evaluate", done, total });
    return (await this.#surviving(({ pass }) => evaluateRows(pass, evalSet.rows, options.perDeviceTrainBatchSize, progress, signal, this.#measured))).loss;
  }

  #state(step: number): TrainerState {
    const { plan, state } = this.#prepared;
    return { ...state, global_step: step, epoch: step > 0 ? epochAfter(step - 1, plan) : 0, log_history: this.#log };
  }

  async #saveCheckpoint({ parameters }: PlacedRun, snapshot: Snapshot): Promise<string> {
    const { step } = snapshot;
    const path = await this.#call.output.saveCheckpoint(step, checkpointFiles(this.#prepared.adapter, parameters, snapshot, this.#state(step)));
    this.#call.onProgress?.({ phase: "saved", path });
    return path;
  }

  async close(): Promise<void> {
    await this.#placed?.dispose();
    await this.#prepared.checkpoint.close();
  }
}

/** Epochs done after step `step`, with the fraction of the current one. */
function epochAfter(step: number, plan: StepPlan): number {
  return (step + 1) / plan.stepsPerEpoch;
}
