import { readFile } from "node:fs/promises";
import { adapterModules, attachForTraining } from "../../src/commands/attach-adapter.ts";
import { loadLlama } from "../../src/commands/load-llama.ts";
import type { LoadQuantization } from "../../src/commands/quantize-while-loading.ts";
import type { TokenRow } from "../../src/data/collate.ts";
import type { Device } from "../../src/device.ts";
import { openCheckpoint } from "../../src/format/checkpoint.ts";
import { readAdapter } from "../../src/format/peft.ts";
import { readSafetensors } from "../../src/format/safetensors.ts";
import { openSource } from "../../src/io/node.ts";
import { BatchPass } from "../../src/nn/batch-pass.ts";
import type { Llama } from "../../src/nn/llama.ts";
import type { AdapterParameters } from "../../src/nn/lora.ts";
import { useBfloat16 } from "./bfloat16-linear.ts";
import { AdamW, ADAMW_DEFAULTS } from "../../src/optim/adamw.ts";

export interface Curve {
  kind: "f32" | "nf4" | "nf4dq";
  lr: number;
  completion_only: boolean;
  loss: number[];
  grad_norm: number[];
}

export interface GoldenRun {
  model: Llama;
  parameters: AdapterParameters;
  pass: BatchPass;
  optimizer: AdamW;
  dispose(): void;
}

export interface GoldenOptions {
  model: string;
  adapter: string;
  batch: number;
  length: number;
  recompute?: boolean;
  quantization?: LoadQuantization | undefined;
  /** Compute layer 0's q, k and v as bitsandbytes did where the golden files were written. */
  bfloat16?: boolean;
}

/** A model with an adapter of PEFT's hung on it, ready for steps with the golden run's AdamW. */
export async function goldenRun(device: Device, o: GoldenOptions): Promise<GoldenRun> {
  const checkpoint = await openCheckpoint(await openSource(o.model));
  const model = await loadLlama(device, checkpoint, { quantization: o.quantization });
  await checkpoint.close();
  const release = o.bfloat16 ? await useBfloat16(model, o.batch * o.length) : undefined;
  const { config, tensors } = await readAdapter(await openSource(o.adapter));
  const modules = adapterModules(model, config);
  const parameters = attachForTraining(model, modules, config.loraDropout, 0);
  parameters.write(tensors);
  const rank = Math.max(...modules.map((m) => m.r));
  const pass = new BatchPass(model, { batch: o.batch, length: o.length, microBatches: 4, rank, training: true, recompute: o.recompute ?? false, dropout: false });
  const optimizer = new AdamW(device, parameters, { ...ADAMW_DEFAULTS, weightDecay: 0.01, maxGradNorm: 1 });
  return { model, parameters, pass, optimizer, dispose: () => { release?.(); pass.dispose(); optimizer.dispose(); parameters.dispose(); model.dispose(); } };
}

/** The batches PEFT trained on, as rows; with `completionOnly` the first half of each is not scored. */
export async function goldenBatches(folder: string, file: string, completionOnly: boolean): Promise<TokenRow[][]> {
  const tensors = await readSafetensors(await openSource(folder), file);
  const { shape, data } = tensors.get("input_ids")!;
  const [steps, batch, length] = shape;
  return Array.from({ length: steps }, (_, step) => Array.from({ length: batch }, (_, row) => {
    const inputIds = Int32Array.from(data.subarray((step * batch + row) * length, (step * batch + row + 1) * length) as ArrayLike<number>);
    const labels = inputIds.slice();
    if (completionOnly) labels.fill(-100, 0, length / 2);
    return { inputIds, labels };
  }));
}

export async function curves(file: string): Promise<Record<string, Curve>> {
  return (JSON.parse(await readFile(file, "utf8")) as { runs: Record<string, Curve> }).runs;
}
