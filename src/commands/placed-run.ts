import type { AdapterMatrices } from "../format/peft.ts";
import { BatchPass } from "../nn/batch-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { AdapterParameters, LoraModule } from "../nn/lora.ts";
import { AdamW, ADAMW_DEFAULTS } from "../optim/adamw.ts";
import { Movement } from "../optim/computed.ts";
import type { Moment } from "../optim/moments.ts";
import type { PagingOptions } from "../pager/pager.ts";
import { adapterModules, attachForTraining, checkAdapter, initialAdapter } from "./attach-adapter.ts";
import { fitMemory } from "./fit-memory.ts";
import { loadLlama } from "./load-llama.ts";
import { quantizationOf } from "./quantize-while-loading.ts";
import { restoreOptimizer } from "./run-files.ts";
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
  movement = new Movement(new Map());

  private constructor(model: Llama, modules: readonly LoraModule[], prepared: Prepared) {
    const { options, adapter } = prepared;
    this.model = model;
    this.modules = modules;
    this.parameters = attachForTraining(model, modules, adapter.loraDropout, options.seed);
    this.optimizer = new AdamW(model.device, this.parameters, { ...ADAMW_DEFAULTS, weightDecay: options.weightDecay, maxGradNorm: options.maxGradNorm });
    const passOptions = passOptionsOf(model, prepared, modules);
    this.recompute = passOptions.recompute;
    this.pass = new BatchPass(model, passOptions);
  }

  /** Loads the base and places the run at its snapshot, or at its beginning. @throws MemoryError, FormatError */
  static async load(call: TrainCall, prepared: Prepared, paging: PagingOptions | undefined, snapshot: Snapshot | undefined): Promise<PlacedRun> {
    const onProgress = (done: number, total: number): void => call.onProgress?.({ phase: "load", done, total });
    const options = { quantization: quantizationOf(prepared.options), paging, onProgress, signal: call.signal };
    const fitting = await fitMemory(call.device, prepared.checkpoint, options, (measured) => PlacedRun.#place(measured, prepared));
    const model = await loadLlama(call.device, prepared.checkpoint, { ...options, paging: fitting });
    try {
      const modules = adapterModules(model, prepared.adapter);
      if (prepared.initial) checkAdapter(call.initAdapter?.name ?? call.resume!.name, modules, prepared.initial);
      const run = await PlacedRun.#place(model, prepared);
      await run.#begin(call, prepared, snapshot);
      return run;
    } catch (error) {
      model.dispose();
      await model.pager?.close();
      throw error;
    }
  }

  /** Allocates everything that the run needs beside the model. */
  static async #place(model: Llama, prepared: Prepared): Promise<PlacedRun> {
    const run = new PlacedRun(model, adapterModules(model, prepared.adapter), prepared);
    // Saving needs a buffer for reading the adapter back: it must be there before frames take what is left.
    await run.parameters.read();
    await run.optimizer.moments.prepare();
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

  async dispose(): Promise<void> {
    this.pass.dispose();
    this.optimizer.dispose();
    for (const linear of this.model.linears().values()) linear.loras = [];
    this.parameters.dispose();
    this.model.dispose();
    await this.model.pager?.close();
  }
}
