import { ShapeError } from "../errors.ts";
import { BLOCKSIZES } from "../ops/blocksize.ts";
import { ADAMW_DEFAULTS } from "../optim/adamw.ts";
import type { ScheduleKind } from "../optim/schedule.ts";

/** Where AdamW's states are: `adamw` keeps them on the device if they fit, `paged_adamw` on the host. The results are the same. */
export type Optim = "adamw" | "paged_adamw";

export type QuantizeOnLoad = "nf4" | "fp4" | "none";

/** Hyper-parameters of a run, with Hugging Face's meanings. */
export interface TrainOptions {
  /** Rank of the adapter. */
  r: number;
  loraAlpha: number;
  /** Probability, on the adapter's input only. */
  loraDropout: number;
  /** Scale by alpha / √r instead of alpha / r. */
  useRslora: boolean;
  /** `all-linear`, a regular expression for whole module paths, or a list of suffixes. */
  targetModules: string | string[];
  excludeModules?: string | string[];
  layersToTransform?: number[];
  rankPattern: Record<string, number>;
  alphaPattern: Record<string, number>;
  learningRate: number;
  lrSchedulerType: ScheduleKind;
  /** Optimizer steps; takes precedence over `warmupRatio`. */
  warmupSteps?: number;
  /** Default 0.03; `constant` warms up only when asked to. */
  warmupRatio?: number;
  weightDecay: number;
  /** 0 does not clip. */
  maxGradNorm: number;
  /** Optimizer steps; takes precedence over `numTrainEpochs`. */
  maxSteps?: number;
  numTrainEpochs: number;
  perDeviceTrainBatchSize: number;
  gradientAccumulationSteps: number;
  /** Tokens of the longest sequence. */
  maxLength: number;
  /** Recompute activations in the backward pass: `auto` does when they would not fit. */
  gradientCheckpointing: boolean | "auto";
  /** Keep the inputs of the layers on the host between forward and backward, which recomputes; also done when they do not fit. */
  activationOffloading: boolean;
  optim: Optim;
  /** Save a checkpoint every so many steps; 0 saves none but the result. */
  saveSteps: number;
  shuffle: boolean;
  seed: number;
  /** What a base that is not yet in 4 bits is quantized to while it is loaded */
  quantize: QuantizeOnLoad;
  blocksize: number;
  doubleQuant: boolean;
  /** Bytes that activations may take before `auto` recomputes them. */
  activationMemory: number;
}

export const TRAIN_DEFAULTS: TrainOptions = {
  r: 16, loraAlpha: 16, loraDropout: 0, useRslora: false, targetModules: "all-linear", rankPattern: {}, alphaPattern: {},
  learningRate: 2e-4, lrSchedulerType: "cosine", weightDecay: 0, maxGradNorm: ADAMW_DEFAULTS.maxGradNorm,
  numTrainEpochs: 1, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 8, maxLength: 512,
  gradientCheckpointing: "auto", activationOffloading: false, optim: "adamw", saveSteps: 0, shuffle: true, seed: 42, quantize: "nf4", blocksize: 64, doubleQuant: true, activationMemory: 2 ** 30,
};

type Check = readonly [keyof TrainOptions, (value: number) => boolean, string];

const CHECKS: readonly Check[] = [
  ["r", (v) => Number.isInteger(v) && v >= 1, "a whole number of at least 1"],
  ["loraAlpha", (v) => v > 0, "a number above 0"],
  ["loraDropout", (v) => v >= 0 && v < 1, "a probability of at least 0 and below 1"],
  ["learningRate", (v) => v >= 0, "a number of at least 0"],
  ["warmupRatio", (v) => v >= 0 && v <= 1, "a number from 0 to 1"],
  ["warmupSteps", (v) => Number.isInteger(v) && v >= 0, "a whole number of at least 0"],
  ["weightDecay", (v) => v >= 0, "a number of at least 0"],
  ["maxGradNorm", (v) => v >= 0, "a number of at least 0"],
  ["maxSteps", (v) => Number.isInteger(v) && v >= 1, "a whole number of at least 1"],
  ["numTrainEpochs", (v) => v > 0, "a number above 0"],
  ["perDeviceTrainBatchSize", (v) => Number.isInteger(v) && v >= 1, "a whole number of at least 1"],
  ["gradientAccumulationSteps", (v) => Number.isInteger(v) && v >= 1, "a whole number of at least 1"],
  ["maxLength", (v) => Number.isInteger(v) && v >= 2, "a whole number of at least 2"],
  ["saveSteps", (v) => Number.isInteger(v) && v >= 0, "a whole number of at least 0"],
  ["seed", (v) => Number.isInteger(v) && v >= 0 && v <= 0xffffffff, "a whole number from 0 to 4294967295"],
  ["blocksize", (v) => BLOCKSIZES.includes(v), BLOCKSIZES.join(", ")],
  ["activationMemory", (v) => v >= 0, "bytes"],
];

/**
 * Defaults filled in, every value checked.
 * @throws ShapeError naming the option.
 */
export function trainOptions(given: Partial<TrainOptions>): TrainOptions {
  const defined = Object.fromEntries(Object.entries(given).filter(([key, value]) => value !== undefined && key in OPTION_KEYS));
  const options: TrainOptions = { ...TRAIN_DEFAULTS, ...defined };
  for (const [name, valid, expected] of CHECKS) {
    const value = options[name] as number | undefined;
    if (value === undefined) continue;
    if (typeof value !== "number" || !Number.isFinite(value) || !valid(value)) throw new ShapeError("train", name, { expected, got: value });
  }
  for (const r of Object.values(options.rankPattern)) if (!Number.isInteger(r) || r < 1) throw new ShapeError("train", "rankPattern", { expected: "whole numbers of at least 1", got: r });
  for (const alpha of Object.values(options.alphaPattern)) if (!(alpha > 0)) throw new ShapeError("train", "alphaPattern", { expected: "numbers above 0", got: alpha });
  oneOf("lrSchedulerType", options.lrSchedulerType, ["constant", "linear", "cosine"]);
  oneOf("quantize", options.quantize, ["nf4", "fp4", "none"]);
  oneOf("optim", options.optim, ["adamw", "paged_adamw"]);
  oneOf("gradientCheckpointing", String(options.gradientCheckpointing), ["true", "false", "auto"]);
  if (options.activationOffloading && options.gradientCheckpointing === false) throw new ShapeError("train", "activationOffloading", { expected: "gradientCheckpointing true or auto beside it", got: false });
  return options;
}

const OPTION_KEYS: Record<keyof TrainOptions, true> = {
  r: true, loraAlpha: true, loraDropout: true, useRslora: true, targetModules: true, excludeModules: true, layersToTransform: true,
  rankPattern: true, alphaPattern: true, learningRate: true, lrSchedulerType: true, warmupSteps: true, warmupRatio: true,
  weightDecay: true, maxGradNorm: true, maxSteps: true, numTrainEpochs: true, perDeviceTrainBatchSize: true,
  gradientAccumulationSteps: true, maxLength: true, gradientCheckpointing: true, activationOffloading: true, optim: true, saveSteps: true, shuffle: true, seed: true,
  quantize: true, blocksize: true, doubleQuant: true, activationMemory: true,
};

function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw new ShapeError("train", name, { expected: allowed.join(", "), got: value });
}
