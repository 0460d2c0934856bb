import type { AdapterMatrices } from "../format/peft.ts";
import { BatchPass } from "../nn/batch-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { AdapterParameters, LoraModule } from "../nn/lora.ts";
import { AdamW, ADAMW_DEFAULTS } from "../optim/adamw.ts";
import { Movement } from "../optim/computed.ts";
import type { Moment } from "../optim/moments.ts";
import { PagedMoments } from "../optim/paged-moments.ts";
import { HostTier } from "../pager/host-tier.ts";
import type { PagingOptions, PagingStats } from "../pager/pager.ts";
import { pagingStats } from "../pager/paging-stats.ts";
import { arrangementsOf, type Arrangement } from "./arrangement.ts";
import { adapterModules, attachForTraining, checkAdapter, initialAdapter } from "./attach-adapter.ts";
import { fitMemory } from "./fit-memory.ts";
import { loadLlama } from "./load-llama.ts";
import { quantizationOf } from "./quantize-while-loading.ts";
import { checkpointBytes, restoreOptimizer } from "./run-files.ts";
import type { TrainCall } from "./train.ts";
import { passOptionsOf, type Prepared } from "./train-prepare.ts";

export type AdapterValues = ReadonlyMap<string, AdapterMatrices>;

/** What a run has computed after `step` steps, in host memory: from here it goes on to the same bits. */
export interface Snapshot {
  readonly step: number;
  readonly param: AdapterValues;
  /** Undefined when there is nothing left to train. */
  readonly moments: Readonly<Record<Moment, Float32Array<ArrayBuffer>>> | undefined;
}

/** Everything of a training run that lies on the device, and is gone with it. */
export class PlacedRun {
  readonly model: Llama;
  readonly modules: readonly LoraModule[];
  readonly parameters: AdapterParameters;
  readonly optimizer: AdamW;
  readonly pass: BatchPass;
  readonly recompute: boolean;
  readonly arrangement: Arrangement;
  readonly #tier: HostTier;
  movement = new Movement(new Map());

  private constructor(model: Llama, modules: readonly LoraModule[], prepared: Prepared, arrangement: Arrangement, tier: HostTier) {
    const { options, adapter } = prepared;
    this.model = model;
    this.modules = modules;
    this.arrangement = arrangement;
    this.#tier = tier;
    this.parameters = attachForTraining(model, modules, adapter.loraDropout, options.seed);
    const moments = arrangement.pagedOptimizer ? new PagedMoments(tier, this.parameters.length) : undefined;
    this.optimizer = new AdamW(model.device, this.parameters, { ...ADAMW_DEFAULTS, weightDecay: options.weightDecay, maxGradNorm: options.maxGradNorm }, moments);
    const passOptions = passOptionsOf(model, prepared, modules, arrangement, tier);
    this.recompute = passOptions.recompute;
    this.pass = new BatchPass(model, passOptions);
  }

  /** Loads the base and places the run at its snapshot, or at its beginning. @throws MemoryError, FormatError */
  static async load(call: TrainCall, prepared: Prepared, paging: PagingOptions | undefined, snapshot: Snapshot | undefined): Promise<PlacedRun> {
    const onProgress = (done: number, total: number): void => call.onProgress?.({ phase: "load", done, total });
    const options = { quantization: quantizationOf(prepared.options), paging, onProgress, signal: call.signal };
    let written = 0; // bytes that lie on the host between uses, as the last arrangement tried has it
    const fit = await fitMemory(call.device, prepared.checkpoint, options, arrangementsOf(prepared.options), async (measured, arrangement) => {
      const tier = new HostTier(measured.device);
      const run = await PlacedRun.#place(measured, prepared, arrangement, tier);
      written = tier.bytes;
      return checkpointBytes(run.parameters);
    });
    const { hostMemory } = paging ?? {};
    const tier = new HostTier(call.device, { hostMemory: hostMemory === undefined ? undefined : Math.min(hostMemory, written), openSpill: call.output.openSpill?.bind(call.output) });
    tier.check(written);
    const forBase = hostMemory === undefined ? undefined : Math.max(0, hostMemory - written);
    const model = await loadLlama(call.device, prepared.checkpoint, { ...options, paging: fit.paging && { ...fit.paging, hostMemory: forBase } });
    try {
      const modules = adapterModules(model, prepared.adapter);
      if (prepared.initial) checkAdapter(call.initAdapter?.name ?? call.resume!.name, modules, prepared.initial);
      const run = await PlacedRun.#place(model, prepared, fit.arrangement, tier);
      await run.#begin(call, prepared, snapshot);
      return run;
    } catch (error) {
      await tier.close();
      model.dispose();
      await model.pager?.close();
      throw error;
    }
  }

  /** Allocates everything that the run needs beside the model. */
  static async #place(model: Llama, prepared: Prepared, arrangement: Arrangement, tier: HostTier): Promise<PlacedRun> {
    const run = new PlacedRun(model, adapterModules(model, prepared.adapter), prepared, arrangement, tier);
    // The adapter may be read while something else is on its way to the host.
    for (const other of [run.pass, run.optimizer.moments]) await Promise.all([run.parameters.prepare(), other.prepare()]);
    return run;
  }

  async #begin(call: TrainCall, { initial, options, resumed }: Prepared, snapshot: Snapshot | undefined): Promise<void> {
    const { parameters, modules } = this;
    const { moments } = this.optimizer;
    const values = snapshot?.param ?? initial ?? initialAdapter(modules, options.seed);
    parameters.write(values);
    this.movement = new Movement(values);
    if (snapshot?.moments) {
      await moments.write("exp_avg", snapshot.moments.exp_avg);
      await moments.write("exp_avg_sq", snapshot.moments.exp_avg_sq);
    } else if (resumed && !snapshot) await restoreOptimizer(call.resume!, parameters, moments);
  }

  /** The adapter after `step` steps. @throws KernelError from a device that did not compute it. */
  async read(step: number): Promise<AdapterValues> {
    const values = await this.parameters.read();
    this.movement.check(`train: step ${step}`, values);
    return values;
  }

  async snapshot(step: number): Promise<Snapshot> {
    const param = await this.read(step);
    const { moments } = this.optimizer;
    return { step, param, moments: { exp_avg: await moments.read("exp_avg"), exp_avg_sq: await moments.read("exp_avg_sq") } };
  }

  /** What was paged so far; undefined when everything is on the device. */
  get paging(): PagingStats | undefined {
    return pagingStats(this.model.device, this.model.pager, this.#tier, this.pass.stacked, this.optimizer.moments.copied);
  }

  async dispose(): Promise<void> {
    await this.#tier.close();
    this.pass.dispose();
    this.optimizer.dispose();
    for (const linear of this.model.linears().values()) linear.loras = [];
    this.parameters.dispose();
    this.model.dispose();
    await this.model.pager?.close();
  }
}
