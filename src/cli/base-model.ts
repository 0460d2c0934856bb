import { loadModel, type AdapterUse, type LanguageModel } from "../commands/language-model.ts";
import { STATE_FILE, readTrainerState } from "../commands/training-checkpoint.ts";
import type { QuantizeOnLoad } from "../commands/train-options.ts";
import type { Device } from "../device.ts";
import type { SourceFolder } from "../io/types.ts";
import { pagingOf, type MEMORY_FLAGS } from "./device.ts";
import type { Values } from "./options.ts";
import type { Output } from "./output.ts";
import { recoveredLine, recoveredObject } from "./recovery-report.ts";
import type { Session } from "./session.ts";
import { openAdapterSource, openModelSource } from "./sources.ts";

/** With what the flags say about memory. */
type Limits = Values<(typeof MEMORY_FLAGS)[number]> & { readonly maxLength?: number | undefined };

export const BASE_FLAGS = ["model", "adapter", "adapter-scale", "quantize", "blocksize", "double-quant"] as const;

type BaseValues = Values<(typeof BASE_FLAGS)[number]>;

export interface BaseModel {
  readonly model: LanguageModel;
  readonly adapters: readonly AdapterUse[];
}

/** Loads the model, and the adapter over the base as it was when the adapter was trained. */
export async function openBaseModel(values: BaseValues & Limits, device: Device, session: Session): Promise<BaseModel> {
  const { output, signal } = session;
  const source = await openModelSource(values.model!, session);
  const adapterSource = values.adapter === undefined ? undefined : await openAdapterSource(values.adapter, session);
  const quantization = await baseQuantization(values, source, adapterSource, output);
  const bar = output.progress("load", "bytes");
  const model = await loadModel({
    model: source, device, signal, ...quantization, paging: pagingOf(device, values), maxLength: values.maxLength,
    onProgress: (done, total) => bar.update(done, total),
    onRecovered: (event) => {
      output.object(recoveredObject(event));
      output.note(recoveredLine(event));
    },
  });
  const adapters = adapterSource ? [{ adapter: await model.loadAdapter(adapterSource), scale: values.adapterScale ?? 1 }] : [];
  output.endProgress();
  return { model, adapters };
}

interface BaseQuantization {
  readonly quantize?: QuantizeOnLoad | undefined;
  readonly blocksize?: number | undefined;
  readonly doubleQuant?: boolean | undefined;
}

/** What the flags say, else what the base was when the adapter was trained: an adapter corrects its base's rounding too. */
export async function baseQuantization({ quantize, blocksize, doubleQuant }: BaseQuantization, model: SourceFolder, adapter: SourceFolder | undefined, output: Output): Promise<BaseQuantization> {
  const given = { quantize, blocksize, doubleQuant };
  if (quantize !== undefined || !adapter || !(await adapter.has(STATE_FILE)) || (await isIn4Bits(model))) return given;
  const { base, options } = await readTrainerState(adapter);
  const [label, when] = base.quantization.split(/, (?=while loading$)/);
  if (when === undefined) return given;
  output.note(`base quantized as in training: ${label} (--quantize none leaves it as stored)`);
  const trained = options as Required<BaseQuantization>;
  return { quantize: trained.quantize, blocksize: blocksize ?? trained.blocksize, doubleQuant: doubleQuant ?? trained.doubleQuant };
}

async function isIn4Bits(model: SourceFolder): Promise<boolean> {
  return (await model.has("config.json")) && /"quantization_config"\s*:\s*\{/.test(await model.readText("config.json"));
}
