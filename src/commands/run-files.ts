import { FormatError } from "../errors.ts";
import { adapterFiles, type AdapterConfig, type AdapterMatrices } from "../format/peft.ts";
import { encodeSafetensors, readSafetensors, type HostTensor } from "../format/safetensors.ts";
import type { SourceFolder } from "../io/types.ts";
import type { AdapterParameters } from "../nn/lora.ts";
import type { Moment, Moments } from "../optim/moments.ts";
import type { Snapshot } from "./placed-run.ts";
import { OPTIMIZER_FILE, STATE_FILE, type TrainerState } from "./training-checkpoint.ts";

type Matrices = ReadonlyMap<string, AdapterMatrices>;
export type Files = Map<string, Uint8Array | string>;

/** The adapter as PEFT reads it, with its model card, and `trainer_state.json` beside it. */
export function resultFiles(adapter: AdapterConfig, matrices: Matrices, state: TrainerState): Files {
  const files: Files = new Map(adapterFiles(adapter, matrices, cardFacts(state)));
  files.set(STATE_FILE, `${JSON.stringify(state, undefined, 2)}\n`);
  return files;
}

/** Most bytes in host memory while one is saved: parameters and both moments, as they are and as files, and half as much that was read before and is not collected yet. */
export function checkpointBytes({ length }: AdapterParameters): number {
  return 9 * 4 * length;
}

/** A result with the optimizer's moments: what `--resume` needs. */
export function checkpointFiles(adapter: AdapterConfig, parameters: AdapterParameters, snapshot: Snapshot, state: TrainerState): Files {
  const files = resultFiles(adapter, snapshot.param, state);
  const tensors: HostTensor[] = [];
  for (const suffix of MOMENTS) {
    for (const [path, { a, b }] of parameters.split(snapshot.moments![suffix])) tensors.push(...momentTensors(path, suffix, a, b, parameters));
  }
  files.set(OPTIMIZER_FILE, encodeSafetensors(tensors));
  return files;
}

const MOMENTS: readonly Moment[] = ["exp_avg", "exp_avg_sq"];
const keyOf = (path: string, matrix: "A" | "B"): string => `base_model.model.${path}.lora_${matrix}.weight`;

function momentTensors(path: string, suffix: string, a: Float32Array, b: Float32Array, parameters: AdapterParameters): HostTensor[] {
  const { module: m } = parameters.slots.find((slot) => slot.module.path === path)!;
  return [
    { name: `${keyOf(path, "A")}.${suffix}`, dtype: "F32", shape: [m.r, m.in], data: a },
    { name: `${keyOf(path, "B")}.${suffix}`, dtype: "F32", shape: [m.out, m.r], data: b },
  ];
}

/** Gives the optimizer the moments of a checkpoint. @throws FormatError naming a missing one. */
export async function restoreOptimizer(folder: SourceFolder, parameters: AdapterParameters, moments: Moments): Promise<void> {
  const tensors = await readSafetensors(folder, OPTIMIZER_FILE);
  for (const suffix of MOMENTS) {
    const values = new Map<string, AdapterMatrices>();
    for (const { module: m } of parameters.slots) {
      const take = (matrix: "A" | "B", n: number): Float32Array => {
        const name = `${keyOf(m.path, matrix)}.${suffix}`;
        const tensor = tensors.get(name);
        if (!(tensor?.data instanceof Float32Array) || tensor.data.length !== n) {
          throw new FormatError(`${folder.name}/${OPTIMIZER_FILE}`, name, { expected: `${n} F32 values`, got: tensor ? `${tensor.data.length} of ${tensor.dtype}` : "none" });
        }
        return tensor.data;
      };
      values.set(m.path, { a: take("A", m.r * m.in), b: take("B", m.out * m.r) });
    }
    await moments.write(suffix, parameters.join(values));
  }
}

function cardFacts(state: TrainerState): Record<string, string> {
  const last = state.log_history.at(-1);
  return {
    "Base model": state.base.name,
    "Base quantization": state.base.quantization,
    "Training data": `${state.data.name}, ${state.data.rows} rows, SHA-256 ${state.data.fingerprint.slice(0, 16)}…`,
    Steps: String(state.global_step),
    ...(last ? { "Loss of the last step": last.loss.toFixed(4) } : {}),
    Seed: String(state.options["seed"]),
    Kernels: state.build,
  };
}
