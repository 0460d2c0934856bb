import { FormatError, ShapeError } from "../errors.ts";
import type { SourceFolder } from "../io/types.ts";
import type { TrainOptions } from "./train-options.ts";

/** One line of `log_history`, with Hugging Face's names. */
export interface LogEntry {
  step: number;
  epoch: number;
  loss: number;
  grad_norm: number;
  learning_rate: number;
}

/** `trainer_state.json`: all that a run needs, beside its tensors, to go on as if it had never stopped. */
export interface TrainerState {
  version: 1;
  global_step: number;
  max_steps: number;
  epoch: number;
  /** What results depend on: `simd` or `relaxed`, on a GPU `f32` or the variants. */
  build: string;
  base: { name: string; fingerprint: string; quantization: string };
  data: { name: string; rows: number; fingerprint: string };
  options: Record<string, unknown>;
  log_history: LogEntry[];
}

export const STATE_FILE = "trainer_state.json";
export const OPTIMIZER_FILE = "optimizer.safetensors";

export async function readTrainerState(folder: SourceFolder): Promise<TrainerState> {
  const where = `${folder.name}/${STATE_FILE}`;
  if (!(await folder.has(STATE_FILE))) {
    throw new FormatError(folder.name, "not a checkpoint", { expected: STATE_FILE, got: "no such file", hint: "name a folder checkpoint-N that training saved" });
  }
  let state: TrainerState;
  try {
    state = JSON.parse(await folder.readText(STATE_FILE)) as TrainerState;
  } catch (cause) {
    throw new FormatError(where, "broken JSON", { got: (cause as Error).message, cause });
  }
  if (state?.version !== 1 || !Number.isInteger(state.global_step) || !Array.isArray(state.log_history)) {
    throw new FormatError(where, "not a trainer state of this version", { expected: "version 1", got: state?.version });
  }
  return state;
}

/** Options that may change between stop and resume without changing a bit of the result. */
const FREE: ReadonlySet<string> = new Set(["saveSteps", "gradientCheckpointing", "activationOffloading", "optim", "activationMemory"]);

/** @throws ShapeError naming the first thing that differs. */
export function checkResumable(state: TrainerState, now: Omit<TrainerState, "global_step" | "epoch" | "log_history" | "version">): void {
  const differ = (what: string, expected: unknown, got: unknown): void => {
    const [a, b] = [JSON.stringify(expected), JSON.stringify(got)];
    if (a !== b) throw new ShapeError("resume", `${what} differs from the run that saved the checkpoint`, { expected: a, got: b, hint: "resume with the options, model and data the run was started with" });
  };
  differ("the base model", state.base.fingerprint, now.base.fingerprint);
  differ("quantization of the base", state.base.quantization, now.base.quantization);
  differ("the data", state.data.fingerprint, now.data.fingerprint);
  for (const key of Object.keys(now.options)) if (!FREE.has(key)) differ(key, state.options[key], now.options[key]);
  differ("max_steps", state.max_steps, now.max_steps);
  if (state.build !== now.build) {
    throw new ShapeError("resume", "the kernels' build differs, so the bits of the run would", { expected: state.build, got: now.build, hint: `create the device with the build, or gpuVariants, "${state.build}"` });
  }
}

export function optionsRecord(options: TrainOptions): Record<string, unknown> {
  return JSON.parse(JSON.stringify(options)) as Record<string, unknown>;
}
