import { dirname } from "node:path";
import { train, type TrainCall, type TrainResult } from "../commands/train.ts";
import { TRAIN_DEFAULTS, trainOptions, type TrainOptions } from "../commands/train-options.ts";
import { readTrainerState } from "../commands/training-checkpoint.ts";
import { cpuSeconds } from "../io/cpu-time.ts";
import { openRunFolder } from "../io/node-run-folder.ts";
import { openSource } from "../io/node.ts";
import { cliCommand } from "./command.ts";
import { pagingObject } from "./paging-report.ts";
import { DEVICE_FLAGS, MEMORY_FLAGS, openDevice, pagingOf, scheduleOf } from "./device.ts";
import { bytesText, shellWord } from "./format.ts";
import type { Values } from "./options.ts";
import { INTERRUPTED, peakMemory, type Session } from "./session.ts";
import { isCheckpointName, newestCheckpoint, openAdapterSource, openModelSource, readData } from "./sources.ts";
import { TrainReport } from "./train-report.ts";

const OUTPUT_DIR = "nibblelm-adapter";

const FLAGS = [
  "model", "data", "eval-data", "max-length", "shuffle", "seed",
  "r", "lora-alpha", "lora-dropout", "use-rslora", "target-modules", "exclude-modules", "layers-to-transform", "rank-pattern", "alpha-pattern", "init-adapter",
  "learning-rate", "lr-scheduler-type", "warmup-steps", "warmup-ratio", "weight-decay", "max-grad-norm", "max-steps", "num-train-epochs",
  "per-device-train-batch-size", "gradient-accumulation-steps", "gradient-checkpointing", "activation-offloading", "optim", "save-steps", "resume",
  "quantize", "blocksize", "double-quant", ...DEVICE_FLAGS, ...MEMORY_FLAGS, "gpu-variants", "output-dir", "force", "json",
] as const;

type TrainValues = Values<(typeof FLAGS)[number]>;

export const command = cliCommand({
  name: "train",
  flags: FLAGS,
  required: ["model", "data"],
  differs: {
    quantize: { default: TRAIN_DEFAULTS.quantize },
    "output-dir": { default: OUTPUT_DIR, help: "folder for the adapter and its checkpoints" },
  },
  examples: [
    "nibblelm train --model demo --data demo -o alice --max-steps 20",
    "nibblelm train --model ./SmolLM2 --data notes.jsonl -o notes --r 8 --save-steps 50",
    "nibblelm train --model ./SmolLM2 --data notes.jsonl -o notes --resume",
  ],
}, run);

async function run(values: TrainValues, session: Session): Promise<number> {
  const resume = values.resume === "" ? await newestCheckpoint(values.outputDir ?? OUTPUT_DIR) : values.resume;
  const outputDir = values.outputDir ?? (resume && isCheckpointName(resume) ? dirname(resume) : OUTPUT_DIR);
  const checkpoint = resume === undefined ? undefined : await openSource(resume);
  const state = checkpoint && (await readTrainerState(checkpoint));
  const options = trainOptions({ ...(state?.options as Partial<TrainOptions> | undefined), ...(values as Partial<TrainOptions>) });
  const model = await openModelSource(values.model!, session);
  const data = await readData(values.data!, session);
  const evalData = values.evalData === undefined ? undefined : await readData(values.evalData, session);
  const initAdapter = values.initAdapter === undefined ? undefined : await openAdapterSource(values.initAdapter, session);
  const output = await openRunFolder(outputDir, { existing: values.force === true || resume !== undefined });
  await using device = await openDevice(values, session.output, state?.build);
  const report = new TrainReport(session.output, { model: model.name, data: data.name, options, device: device.description, resumedAt: state?.global_step ?? 0 });
  const call: TrainCall = {
    ...options, model, data, evalData, initAdapter, output, device, paging: pagingOf(device, values), resume: checkpoint, signal: session.signal,
    cpuSeconds, onStep: (event) => report.step(event),
    onProgress: (event) => report.progress(event),
  };
  const result = await train(call);
  session.output.endProgress();
  session.output.object({
    event: "result", loss: result.loss, eval_loss: result.evalLoss, tokens_per_second: result.tokensPerSecond,
    peak_memory_bytes: peakMemory(), gpu_peak_bytes: device.kind === "webgpu" ? device.memory.peak : null, output_dir: result.outputDir, schedule: scheduleOf(device), paging: pagingObject(result.paging),
  });
  return result.interrupted === undefined ? finished(values, result, report, session) : stopped(result, session);
}

function finished(values: TrainValues, result: TrainResult, report: TrainReport, { output, self }: Session): number {
  const first = report.firstLoss === undefined ? "" : `${report.firstLoss.toFixed(4)} in the first step, `;
  output.line(`${output.paint.good("trained")}  loss ${first}${result.loss.toFixed(4)} in the last${result.evalLoss === undefined ? "" : `, ${result.evalLoss.toFixed(4)} on ${values.evalData}`}  (${result.tokensPerSecond.toFixed(0)} tokens/s, peak memory ${bytesText(peakMemory())})`);
  output.line(`adapter  ${result.outputDir}`);
  output.line(`try it   ${self} generate --model ${shellWord(values.model!)} --adapter ${shellWord(result.outputDir)} -p "Once upon a time"`);
  return 0;
}

function stopped(result: TrainResult, { output, argv, self }: Session): number {
  const withoutResume = argv.filter((word, i) => !/^--resume(=|$)/.test(word) && !(argv[i - 1] === "--resume" && !word.startsWith("-")));
  output.line(`stopped after step ${result.steps}; checkpoint in ${result.interrupted}`);
  output.line(`go on with   ${self} ${withoutResume.map(shellWord).join(" ")} --resume`);
  return INTERRUPTED;
}
