import { loadDataset } from "../data/dataset.ts";
import { BASE_FLAGS, openBaseModel } from "./base-model.ts";
import { cliCommand } from "./command.ts";
import { DEVICE_FLAGS, MEMORY_FLAGS, openDevice, scheduleOf } from "./device.ts";
import { pagingObject } from "./paging-report.ts";
import { durationText, plural } from "./format.ts";
import { readData } from "./sources.ts";

export const command = cliCommand({
  name: "eval",
  flags: [...BASE_FLAGS, "data", "max-length", "per-device-eval-batch-size", ...DEVICE_FLAGS, ...MEMORY_FLAGS, "gpu-variants", "json"],
  required: ["model", "data"],
  differs: { quantize: { default: "none, or as the adapter was trained" } },
  examples: ["nibblelm eval --model demo --data demo --max-length 128", "nibblelm eval --model ./SmolLM2 --adapter notes --data held-out.txt"],
}, async (values, session) => {
  const { output, signal } = session;
  const file = await readData(values.data!, session);
  await using device = await openDevice(values, output);
  const { model, adapters } = await openBaseModel(values, device, session);
  const { rows, leftOver } = loadDataset(file.bytes, { fileName: file.name, tokenizer: model.tokenizer, maxLength: values.maxLength ?? 512, vocabSize: model.config.vocabSize });
  const bar = output.progress("eval", "row");
  const began = performance.now();
  const { loss, perplexity, tokens } = await model.evaluate(rows, {
    adapters, batchSize: values.perDeviceEvalBatchSize ?? 1, signal,
    onProgress: (done, total) => bar.update(done, total),
  });
  output.endProgress();
  const seconds = (performance.now() - began) / 1000;
  output.line(`loss ${loss.toFixed(4)}  perplexity ${perplexity.toFixed(2)}  over ${plural(tokens, "token")} in ${plural(rows.length, "row")}, ${durationText(seconds)}${leftOver ? `; the last ${plural(leftOver, "token")} fill no window` : ""}`);
  output.object({ loss, perplexity, tokens, schedule: scheduleOf(device), paging: pagingObject(model.paging) });
});
