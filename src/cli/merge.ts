import { merge, type MergeResult } from "../commands/merge.ts";
import { createSink } from "../io/node.ts";
import { baseQuantization } from "./base-model.ts";
import { cliCommand } from "./command.ts";
import { DEVICE_FLAGS, openDevice, scheduleOf } from "./device.ts";
import { bytesText, durationText, percentText, plural, shellWord, shortNumber } from "./format.ts";
import { snakeCased } from "./json.ts";
import { REPLACE } from "./options.ts";
import type { Output } from "./output.ts";
import { peakMemory } from "./session.ts";
import { inputPaths, openAdapterSource, openModelSource } from "./sources.ts";

export const command = cliCommand({
  name: "merge",
  flags: ["model", "adapter", "dtype", "quantize", "blocksize", "double-quant", "nan", ...DEVICE_FLAGS, "output-dir", "force", "json"],
  required: ["model", "adapter", "output-dir"],
  differs: {
    "output-dir": { help: "folder for the merged model, which Transformers loads without PEFT" },
    dtype: { kind: "mergeDtype", default: "bf16", help: "of the merged model; nf4 and fp4 quantize it again" },
    force: { help: REPLACE },
    quantize: { default: "none, or as the adapter was trained", help: "for a base that is not in 4 bits: merge into what it is when quantized so" },
    blocksize: { default: "the base's, else 64" },
    nan: { help: "what to do with a base that has NaN or infinity among its weights" },
  },
  examples: ["nibblelm merge --model smollm2-nf4 --adapter notes -o smollm2-notes", "nibblelm merge --model smollm2-nf4 --adapter notes -o smollm2-notes-nf4 --dtype nf4"],
}, async (values, session) => {
  const { output, signal, self } = session;
  const began = performance.now();
  const model = await openModelSource(values.model!, session);
  const adapter = await openAdapterSource(values.adapter!, session);
  const quantization = await baseQuantization(values, model, adapter, output);
  const { dtype = "bf16", nan } = values;
  await using device = await openDevice(values, output);
  const sink = await createSink(values.outputDir!, { force: values.force === true, inputs: [values.model!, values.adapter!].flatMap((name) => inputPaths(name, session)) });
  const bar = output.progress("merge", "bytes");
  const result = await merge({ model, adapter, output: sink, device, signal, dtype, nan, ...quantization, onProgress: ({ done, total }) => bar.update(done, total) });
  output.endProgress();
  const seconds = (performance.now() - began) / 1000;
  for (const note of result.notes) output.note(note);
  output.line(`${output.paint.good("merged")}    ${plural(result.merged, "linear")} of ${plural(result.tensors, "tensor")}: ${bytesText(result.bytesIn)} → ${bytesText(result.bytesOut)} in ${dtype} (${durationText(seconds)}, peak memory ${bytesText(peakMemory())})`);
  explainRounding(output, dtype, result);
  output.line(`model     ${values.outputDir}`);
  if (result.tokenizer) output.line(`try it    ${self} generate --model ${shellWord(values.outputDir!)} -p "Once upon a time"`);
  const { notes: _, ...numbers } = result;
  output.object({ ...(snakeCased(numbers) as Record<string, unknown>), seconds, peak_memory_bytes: peakMemory(), schedule: scheduleOf(device) });
});

/** Rounding beside what it must be compared with: what the adapter changed. */
function explainRounding(output: Output, dtype: string, { change, rounding, worst }: MergeResult): void {
  output.line(`adapter   changed these linears by ${percentText(change.relativeRms)} (RMS), no weight by more than ${shortNumber(change.max)}`);
  if (!worst) output.line(`rounding  none: ${dtype} holds every weight as it is`);
  else output.line(`rounding  to ${dtype} adds ${percentText(rounding.relativeRms)} (RMS), at most ${shortNumber(rounding.max)}; worst ${percentText(worst.relativeRms)}, at most ${shortNumber(worst.max)}, in ${worst.tensor}`);
}
