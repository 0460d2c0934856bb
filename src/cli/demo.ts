import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadModel, type AdapterUse, type LanguageModel } from "../commands/language-model.ts";
import { train } from "../commands/train.ts";
import { trainOptions, type TrainOptions } from "../commands/train-options.ts";
import { loadDataset } from "../data/dataset.ts";
import type { Device } from "../device.ts";
import { ShapeError } from "../errors.ts";
import { openRunFolder } from "../io/node-run-folder.ts";
import { openSource } from "../io/node.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { cliCommand } from "./command.ts";
import { DEMO_WINDOW, demoData } from "./demo-data.ts";
import { quantizeDemo } from "./demo-quantize.ts";
import { DEVICE_FLAGS, openDevice } from "./device.ts";
import { bytesText, durationText, plural, shellWord } from "./format.ts";
import { INTERRUPTED, peakMemory, type Session } from "./session.ts";
import { demoFolder } from "./sources.ts";
import { TrainReport } from "./train-report.ts";

const FOLDER = "nibblelm-demo";
const STEPS = 120;
const BATCH = 8;
const SAMPLE = { prompt: "Alice was", maxNewTokens: 60, temperature: 0.7, topK: 40, seed: 8 };

export const command = cliCommand({
  name: "demo",
  flags: ["output-dir", ...DEVICE_FLAGS],
  differs: { "output-dir": { default: FOLDER, help: "folder for the quantized model and the adapter; those of an earlier demo are replaced" } },
  examples: ["nibblelm demo", "nibblelm demo --threads auto"],
}, async (values, session) => {
  await using device = await openDevice(values, session.output);
  return new Demo(session, device, values.outputDir ?? FOLDER).run();
});

interface Measured { readonly loss: number; readonly sample: string }

/** The whole of QLoRA as a story in five parts. */
class Demo {
  readonly #session: Session;
  readonly #device: Device;
  readonly #modelDir: string;
  readonly #adapterDir: string;
  readonly #began = performance.now();

  constructor(session: Session, device: Device, folder: string) {
    this.#session = session;
    this.#device = device;
    this.#modelDir = join(folder, "model");
    this.#adapterDir = join(folder, "adapter");
  }

  #say(text = ""): void {
    this.#session.output.line(text && `   ${text}`);
  }

  #part(title: string): void {
    this.#session.output.line(`\n${this.#session.output.paint.bold(title)}`);
  }

  async run(): Promise<number> {
    const { output } = this.#session;
    const steps = demoSteps();
    output.line(`${output.paint.bold("NibbleLM")}: a language model fine-tuned in 4 bits on this computer, nothing downloaded.`);
    output.line(output.paint.dim(this.#device.description));
    this.#part("1  Quantize");
    await quantizeDemo(this.#session, this.#device, this.#modelDir, (text) => this.#say(text));
    this.#part("2  Before training");
    this.#say("The model was brought up on the Bible, Milton and other old books. It does not know Alice in Wonderland:");
    const before = await this.#measure();
    this.#part("3  Train an adapter");
    if (await this.#train(steps)) return INTERRUPTED;
    this.#part("4  After training");
    const after = await this.#measure(this.#adapterDir);
    this.#end(before, after);
    return 0;
  }

  /** Loss on the last tenth of the book, which training never sees, and a sample. */
  async #measure(adapterDir?: string): Promise<Measured> {
    const { output, signal } = this.#session;
    const model = await loadModel({ model: await openSource(this.#modelDir), device: this.#device, signal });
    try {
      const { held } = demoData(await this.#book(), model.tokenizer);
      const { rows } = loadDataset(held.bytes, { fileName: held.name, maxLength: DEMO_WINDOW, vocabSize: model.config.vocabSize });
      const adapters = adapterDir === undefined ? [] : [{ adapter: await model.loadAdapter(await openSource(adapterDir)) }];
      const { loss, tokens } = await model.evaluate(rows, { adapters, batchSize: BATCH, signal });
      const sample = await sampleOf(model, adapters, signal);
      this.#say(`loss on the book's last tenth (${plural(tokens, "token")}, never trained on): ${output.paint.bold(loss.toFixed(2))}`);
      this.#say(`asked to go on from “${SAMPLE.prompt}”, it writes:`);
      this.#say();
      for (const line of quoted(`${SAMPLE.prompt}${sample}`)) this.#say(output.paint.dim("│ ") + line);
      return { loss, sample };
    } finally {
      model.dispose();
    }
  }

  /** @returns whether it was interrupted. */
  async #train(steps: number): Promise<boolean> {
    const { output, signal } = this.#session;
    const options = trainOptions(demoTraining(steps));
    const folder = await openSource(this.#modelDir);
    const tokenizer = loadTokenizer(new Map([["tokenizer.json", new TextEncoder().encode(await folder.readText("tokenizer.json"))]]));
    const { train: data } = demoData(await this.#book(), tokenizer);
    this.#say(`The 4-bit weights stay frozen. Two thin matrices of rank ${options.r} beside each linear learn from the first nine tenths.`);
    const report = new TrainReport(output, { model: this.#modelDir, data: data.name, options, device: this.#device.description, resumedAt: 0 });
    const result = await train({
      ...options, model: folder, data, output: await openRunFolder(this.#adapterDir, { existing: true }), device: this.#device, signal,
      onStep: (event) => report.step(event),
      onProgress: (event) => {
        if (event.phase !== "ready") return;
        this.#say(`${plural(event.trainable, "trainable parameter")}, ${plural(event.steps, "step")} of ${BATCH} × ${DEMO_WINDOW} tokens.`);
        report.start();
      },
    });
    output.endProgress();
    if (result.interrupted !== undefined) this.#say(`stopped after step ${result.steps}; run the demo again to start over`);
    else this.#say(`done: ${Math.round(result.tokensPerSecond)} tokens/s, peak memory ${bytesText(peakMemory())}`);
    return result.interrupted !== undefined;
  }

  #book(): Promise<string> {
    return readFile(join(demoFolder(this.#session), "alice.txt"), "utf8");
  }

  #end(before: Measured, after: Measured): void {
    const { output, self } = this.#session;
    const { paint } = output;
    this.#part(`Loss on text it has never seen: ${before.loss.toFixed(2)} → ${paint.good(after.loss.toFixed(2))}, in ${durationText((performance.now() - this.#began) / 1000)}`);
    this.#say(`model    ${this.#modelDir}    bitsandbytes' files: Transformers loads them too`);
    this.#say(`adapter  ${this.#adapterDir}  PEFT's files`);
    this.#part("Now you");
    this.#say(`${self} generate --model ${shellWord(this.#modelDir)} --adapter ${shellWord(this.#adapterDir)} -p "The Queen" --temperature 0.7 --seed 1`);
    this.#say(`${self} train --model ${shellWord(this.#modelDir)} --data YOUR.txt -o my-adapter --max-length 128`);
    this.#say(`${self} train --model A-LLAMA-FOLDER-OR.gguf --data YOUR.txt -o my-adapter`);
  }
}

/** Those of the peer's figure: bench/peers. */
function demoTraining(steps: number): Partial<TrainOptions> {
  return {
    r: 16, loraAlpha: 16, targetModules: "all-linear", learningRate: 5e-3, lrSchedulerType: "linear", warmupSteps: Math.min(10, steps),
    maxSteps: steps, perDeviceTrainBatchSize: BATCH, gradientAccumulationSteps: 1, maxLength: DEMO_WINDOW, seed: 42,
  };
}

/** CI has less than a minute: `NIBBLELM_DEMO_STEPS`. */
function demoSteps(): number {
  const text = process.env["NIBBLELM_DEMO_STEPS"];
  if (text === undefined || text === "") return STEPS;
  if (!/^[1-9]\d*$/.test(text)) throw new ShapeError("NIBBLELM_DEMO_STEPS", "steps of the demo", { expected: "a whole number of at least 1", got: JSON.stringify(text) });
  return Number(text);
}

async function sampleOf(model: LanguageModel, adapters: readonly AdapterUse[], signal: AbortSignal): Promise<string> {
  let text = "";
  for await (const piece of model.generate({ ...SAMPLE, adapters, signal })) text += piece;
  return text;
}

/** Lines of at most 76 characters; blank ones left out. */
function quoted(text: string): string[] {
  return text.split("\n").filter((line) => line.trim()).flatMap((line) => line.match(/.{1,76}(?:\s|$)/g) ?? [line]);
}
