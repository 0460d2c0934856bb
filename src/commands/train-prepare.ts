import { planSteps, type StepPlan } from "../data/step-plan.ts";
import { loadDataset, type Dataset } from "../data/dataset.ts";
import type { Checkpoint } from "../format/checkpoint.ts";
import { readAdapter, type AdapterConfig, type AdapterMatrices } from "../format/peft.ts";
import type { BatchPassOptions } from "../nn/batch-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { LoraModule } from "../nn/lora.ts";
import type { HostTier } from "../pager/host-tier.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { recomputes, type Arrangement } from "./arrangement.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { openModel } from "./open-model.ts";
import { quantizationLabel } from "./quantize-while-loading.ts";
import type { DataFile, TrainCall } from "./train.ts";
import { trainOptions, type TrainOptions } from "./train-options.ts";
import { checkResumable, optionsRecord, readTrainerState, type TrainerState } from "./training-checkpoint.ts";

/** All that is known and checked before the model is loaded. */
export interface Prepared {
  readonly options: TrainOptions;
  readonly checkpoint: Checkpoint;
  readonly dataset: Dataset;
  readonly evalSet: Dataset | undefined;
  readonly adapter: AdapterConfig;
  readonly initial: ReadonlyMap<string, AdapterMatrices> | undefined;
  readonly plan: StepPlan;
  readonly resumed: TrainerState | undefined;
  readonly state: TrainerState;
}


/** Reads and checks everything cheap first: a wrong option must not cost the time to load a model. */
export async function prepare(call: TrainCall): Promise<Prepared> {
  const options = trainOptions(call);
  const checkpoint = await openModel(call.model);
  try {
    return await prepareWith(call, options, checkpoint);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function prepareWith(call: TrainCall, options: TrainOptions, checkpoint: Checkpoint): Promise<Prepared> {
  const tokenizer = loadTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const dataset = openData(call.data, tokenizer, checkpoint, options);
  const evalSet = call.evalData && openData(call.evalData, tokenizer, checkpoint, options);
  const source = call.resume ?? call.initAdapter;
  const given = source && (await readAdapter(source));
  const adapter = given ? given.config : adapterConfigOf(options, checkpoint.name);
  const plan = planSteps({
    rows: dataset.rows.length, batchSize: options.perDeviceTrainBatchSize, accumulation: options.gradientAccumulationSteps,
    epochs: options.numTrainEpochs, maxSteps: options.maxSteps, seed: options.seed, shuffle: options.shuffle,
  });
  const state: TrainerState = {
    version: 1, global_step: 0, epoch: 0, max_steps: plan.totalSteps, build: call.device.build,
    base: { name: checkpoint.name, fingerprint: await checkpoint.fingerprint(), quantization: quantizationLabel(checkpoint, options) },
    data: { name: call.data.name, rows: dataset.rows.length, fingerprint: await fingerprintOf(call.data.bytes) },
    options: optionsRecord(options), log_history: [],
  };
  const resumed = call.resume && (await readTrainerState(call.resume));
  if (resumed) checkResumable(resumed, state);
  return { options, checkpoint, dataset, evalSet, adapter, initial: given?.tensors, plan, resumed, state };
}

function openData(file: DataFile, tokenizer: Tokenizer, checkpoint: Checkpoint, options: TrainOptions): Dataset {
  return loadDataset(file.bytes, { fileName: file.name, tokenizer, maxLength: options.maxLength, vocabSize: checkpoint.config.vocabSize });
}

function adapterConfigOf(o: TrainOptions, baseModel: string): AdapterConfig {
  return {
    r: o.r, loraAlpha: o.loraAlpha, loraDropout: o.loraDropout, useRslora: o.useRslora, targetModules: o.targetModules,
    excludeModules: o.excludeModules, layersToTransform: o.layersToTransform, rankPattern: o.rankPattern, alphaPattern: o.alphaPattern, baseModel,
  };
}

/** Sizes of the largest batch of the run, and whether its activations are kept or recomputed. */
export function passOptionsOf(model: Llama, { options, dataset, evalSet, adapter }: Prepared, modules: readonly LoraModule[], arrangement: Arrangement, tier: HostTier): BatchPassOptions {
  const longest = (set: Dataset): number => set.rows.reduce((most, row) => Math.max(most, row.inputIds.length), 1);
  const sizes = {
    batch: options.perDeviceTrainBatchSize,
    length: Math.max(longest(dataset), evalSet ? longest(evalSet) : 1),
    microBatches: options.gradientAccumulationSteps,
    rank: Math.max(1, ...modules.map((m) => m.r)),
    training: true, dropout: adapter.loraDropout > 0,
  };
  return { ...sizes, recompute: recomputes(arrangement, model, sizes, options.activationMemory), stack: arrangement.stacked ? tier : undefined };
}
