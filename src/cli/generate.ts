import type { GenerateOptions } from "../commands/language-model.ts";
import { BASE_FLAGS, openBaseModel } from "./base-model.ts";
import { cliCommand } from "./command.ts";
import { DEVICE_FLAGS, MEMORY_FLAGS, openDevice, scheduleOf } from "./device.ts";
import { pagingObject } from "./paging-report.ts";
import { plural } from "./format.ts";

export const command = cliCommand({
  name: "generate",
  flags: [...BASE_FLAGS, "prompt", "chat", "max-new-tokens", "temperature", "top-k", "top-p", "repetition-penalty", "stop", "seed", ...DEVICE_FLAGS, ...MEMORY_FLAGS, "gpu-variants", "json"],
  required: ["model", "prompt"],
  differs: { quantize: { default: "none, or as the adapter was trained" } },
  examples: ['nibblelm generate --model demo -p "Alice was" --temperature 0.8', 'nibblelm generate --model ./SmolLM2 --adapter notes --chat -p "Who are you?"'],
}, async (values, session) => {
  const { output, signal } = session;
  await using device = await openDevice(values, output);
  const { model, adapters } = await openBaseModel(values, device, session);
  const { maxNewTokens, temperature, topK, topP, repetitionPenalty, seed } = values;
  const prompt = values.prompt!;
  const input: GenerateOptions = values.chat ? { messages: [{ role: "user", content: prompt }] } : { prompt };
  const stop = values.stop ? [values.stop.replaceAll("\\n", "\n")] : [];
  const pieces = model.generate({ ...input, adapters, maxNewTokens, temperature, topK, topP, repetitionPenalty, seed, stop, signal });
  // On a terminal the answer stands behind its prompt; a pipe gets the answer alone.
  const echoed = !values.chat && process.stdout.isTTY && process.stderr.isTTY && !output.json;
  if (echoed) process.stderr.write(output.notePaint.dim(prompt));
  let text = "";
  try {
    for (;;) {
      const next = await pieces.next();
      if (next.done) {
        output.piece("\n");
        const { tokens, tokensPerSecond, finish } = next.value;
        output.note(output.notePaint.dim(`${plural(tokens, "token")}, ${tokensPerSecond.toFixed(1)} tokens/s, ${finish === "stop" ? "ended by itself" : "stopped at --max-new-tokens or the context's end"}`));
        output.object({ text, tokens_per_second: tokensPerSecond, schedule: scheduleOf(device), paging: pagingObject(model.paging) });
        return;
      }
      text += next.value;
      output.piece(next.value);
    }
  } catch (error) {
    if (text || echoed) output.piece("\n");
    throw error;
  }
});
