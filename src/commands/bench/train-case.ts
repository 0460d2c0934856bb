import type { TokenRow } from "../../data/collate.ts";
import type { AdapterConfig } from "../../format/peft.ts";
import type { SourceFolder } from "../../io/types.ts";
import { BatchPass } from "../../nn/batch-pass.ts";
import type { Llama } from "../../nn/llama.ts";
import { AdamW, ADAMW_DEFAULTS } from "../../optim/adamw.ts";
import { PagedMoments } from "../../optim/paged-moments.ts";
import { trainingStep, type StepResult } from "../../optim/training-step.ts";
import { HostTier } from "../../pager/host-tier.ts";
import type { PagingStats } from "../../pager/pager.ts";
import { pagingStats } from "../../pager/paging-stats.ts";
import { arrangementsOf, recomputes, type Arrangement } from "../arrangement.ts";
import { adapterModules, attachForTraining, initialAdapter } from "../attach-adapter.ts";
import { TRAIN_DEFAULTS } from "../train-options.ts";
import type { BenchCase } from "./bench-case.ts";
import { loadQuantized, shortName, someIds } from "./model-cases.ts";
import type { Timed } from "./timing.ts";

const { r, loraAlpha, loraDropout, useRslora, targetModules, rankPattern, alphaPattern, learningRate, activationMemory, seed } = TRAIN_DEFAULTS;

export function trainCase(model: SourceFolder, batch: number, length: number): BenchCase {
  return { op: "train", shape: `${shortName(model)} ${batch}x${length}`, tokens: batch * length, limit: "multiply-add", prepare: async (device) => timedSteps(new Trainee((await loadQuantized(device, model)).llama, batch, length)) };
}

function timedSteps(trainee: Trainee): Timed {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await trainee.step();
    },
  };
}

/** Whole optimizer steps of `train` with its defaults, on the same made-up rows: forward, loss, backward, clip, AdamW, read-back. */
export class Trainee {
  readonly #model: Llama;
  readonly #tier: HostTier;
  readonly #pass: BatchPass;
  readonly #optimizer: AdamW;
  readonly #rows: readonly TokenRow[];
  #steps = 0;

  constructor(model: Llama, batch: number, length: number, arrangement: Arrangement = arrangementsOf(TRAIN_DEFAULTS)[0]) {
    const config: AdapterConfig = { r, loraAlpha, loraDropout, useRslora, targetModules, rankPattern, alphaPattern, baseModel: "" };
    const { device } = model;
    const modules = adapterModules(model, config);
    const parameters = attachForTraining(model, modules, loraDropout, seed);
    parameters.write(initialAdapter(modules, seed));
    this.#model = model;
    this.#tier = new HostTier(device);
    this.#optimizer = new AdamW(device, parameters, ADAMW_DEFAULTS, arrangement.pagedOptimizer ? new PagedMoments(this.#tier, parameters.length) : undefined);
    const sizes = { batch, length, microBatches: 1, rank: r, training: true, dropout: loraDropout > 0 };
    this.#pass = new BatchPass(model, { ...sizes, recompute: recomputes(arrangement, model, sizes, activationMemory), stack: arrangement.stacked ? this.#tier : undefined });
    this.#rows = Array.from({ length: batch }, (_, i): TokenRow => {
      const inputIds = someIds(length, model.shape.vocabSize, i * length);
      return { inputIds, labels: inputIds };
    });
  }

  /** To be awaited before frames take the device's memory. */
  async prepare(): Promise<void> {
    await this.#pass.prepare();
    await this.#optimizer.moments.prepare();
  }

  step(): Promise<StepResult> {
    return trainingStep(this.#model.device, this.#pass, this.#optimizer, this.#rows, this.#rows.length, this.#steps++, learningRate, false);
  }

  /** Undefined when nothing is paged. */
  get paging(): PagingStats | undefined {
    return pagingStats(this.#model.device, this.#model.pager, this.#tier, this.#pass.stacked, this.#optimizer.moments.copied);
  }
}
