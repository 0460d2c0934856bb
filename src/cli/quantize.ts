import { quantize } from "../commands/quantize.ts";
import { createSink } from "../io/node.ts";
import { cliCommand } from "./command.ts";
import { DEVICE_FLAGS, openDevice, scheduleOf } from "./device.ts";
import { bytesText, durationText, plural, shellWord } from "./format.ts";
import { peakMemory } from "./session.ts";
import { REPLACE } from "./options.ts";
import { inputPaths, openModelSource } from "./sources.ts";

export const command = cliCommand({
  name: "quantize",
  positional: { name: "MODEL", help: "a model folder, a .gguf file, a Hub id, or demo: the small model inside the package", required: true },
  flags: ["type", "blocksize", "double-quant", "dtype", "embeddings", "skip-modules", "nan", ...DEVICE_FLAGS, "output-dir", "force", "json"],
  required: ["output-dir"],
  differs: { force: { help: REPLACE }, "output-dir": { help: "folder for the model in 4 bits: bitsandbytes' files, which Transformers loads" } },
  examples: ["nibblelm quantize ./SmolLM2 -o SmolLM2-nf4", "nibblelm quantize smollm2-135m.gguf -o smollm2-nf4 --blocksize 128"],
}, async (values, session) => {
  const { output, signal, self } = session;
  const began = performance.now();
  const name = values.argument!;
  const model = await openModelSource(name, session);
  await using device = await openDevice(values, output);
  const sink = await createSink(values.outputDir!, { force: values.force === true, inputs: inputPaths(name, session) });
  const bar = output.progress("quantize", "bytes");
  const { type, blocksize, doubleQuant, dtype, embeddings, skipModules, nan } = values;
  const result = await quantize({
    model, output: sink, device, signal, type, blocksize, doubleQuant, dtype, embeddings, skipModules, nan,
    onProgress: ({ done, total }) => bar.update(done, total),
  });
  output.endProgress();
  const seconds = (performance.now() - began) / 1000;
  for (const note of result.notes) output.note(note);
  output.line(`${output.paint.good("quantized")}  ${result.quantized} of ${plural(result.tensors, "tensor")} to 4 bits: ${bytesText(result.bytesIn)} → ${bytesText(result.bytesOut)}, ${result.bitsPerParam.toFixed(2)} bits a parameter over all (${durationText(seconds)}, peak memory ${bytesText(peakMemory())})`);
  output.line(`model      ${values.outputDir}`);
  if (result.tokenizer) output.line(`train it   ${self} train --model ${shellWord(values.outputDir!)} --data YOUR.txt -o my-adapter`);
  output.object({ bytes_in: result.bytesIn, bytes_out: result.bytesOut, bits_per_param: result.bitsPerParam, seconds, peak_memory_bytes: peakMemory(), schedule: scheduleOf(device) });
});
