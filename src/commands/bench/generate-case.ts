import type { Device } from "../../device.ts";
import { ShapeError } from "../../errors.ts";
import type { SourceFolder } from "../../io/types.ts";
import { DecodePass } from "../../nn/decode-pass.ts";
import { argmax } from "../../text/sampling.ts";
import type { BenchCase } from "./bench-case.ts";
import { loadQuantized, shortName, someIds } from "./model-cases.ts";
import type { Timed } from "./timing.ts";

/** `tokens` tokens, the most likely one each time, after a prompt of one token. */
export function generateCase(model: SourceFolder, tokens: number): BenchCase {
  return { op: "generate", shape: `${shortName(model)} ${tokens}`, tokens, limit: "copy", prepare: (device) => timedTokens(device, model, tokens) };
}

async function timedTokens(device: Device, source: SourceFolder, tokens: number): Promise<Timed> {
  const { llama: model, config } = await loadQuantized(device, source);
  const most = config.maxPositionEmbeddings;
  if (tokens > most) throw new ShapeError("bench generate", "size", { expected: `at most ${most} tokens, what the model was made for`, got: tokens });
  const [first] = someIds(1, model.shape.vocabSize, 0);
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        const pass = new DecodePass(model, tokens, 0);
        let id = first;
        for (let t = 0; t < tokens; t++) id = argmax(await pass.append([id]));
        pass.dispose();
      }
    },
  };
}
