import { loadModel, type AdapterUse, type LanguageModel } from "../commands/language-model.ts";
import { STATE_FILE, readTrainerState } from "../commands/training-checkpoint.ts";
import type { QuantizeOnLoad } from "../commands/train-options.ts";
import type { Device } from "../device.ts";
import type { SourceFolder } from "../io/types.ts";
import type { Values } from "./options.ts";
import type { Session } from "./session.ts";
import { openAdapterSource, openModelSource } from "./sources.ts";

export const BASE_FLAGS = ["model", "adapter", "adapter-scale", "quantize", "blocksize", "double-quant"] as const;

type BaseValues = Values<(typeof BASE_FLAGS)[number]>;

export interface BaseModel {
  readonly model: LanguageModel;
  readonly adapters: readonly AdapterUse[];
}

/** Loads the model, and the adapter over the base as it was when the adapter was trained. */
export async function openBaseModel(values: BaseValues, device: Device, session: Session): Promise<BaseModel> {
  const { output, signal } = session;
  const source = await openModelSource(values.model!, session);
  const adapterSource = values.adapter === undefined ? undefined : await openAdapterSource(values.adapter);
  const quantization = values.quantize === undefined && adapterSource ? await asTrained(adapterSource) : undefined;
  if (quantization) output.note(`base quantized as in training: ${quantization.label} (--quantize none leaves it as stored)`);
  const bar = output.progress("load", "bytes");
  const model = await loadModel({
    model: source, device, signal,
    quantize: values.quantize ?? quantization?.quantize, blocksize: values.blocksize ?? quantization?.blocksize, doubleQuant: values.doubleQuant ?? quantization?.doubleQuant,
    onProgress: (done, total) => bar.update(done, total),
  });
  const adapters = adapterSource ? [{ adapter: await model.loadAdapter(adapterSource), scale: values.adapterScale ?? 1 }] : [];
  output.endProgress();
  return { model, adapters };
}

interface AsTrained { readonly label: string; readonly quantize: QuantizeOnLoad; readonly blocksize: number; readonly doubleQuant: boolean }

/** An adapter corrects its base's rounding too, so the base is rounded again as it was. */
async function asTrained(adapter: SourceFolder): Promise<AsTrained | undefined> {
  if (!(await adapter.has(STATE_FILE))) return undefined;
  const { base, options } = await readTrainerState(adapter);
  const [label, when] = base.quantization.split(/, (?=while loading$)/);
  if (when === undefined) return undefined;
  return { label, ...(options as Pick<AsTrained, "quantize" | "blocksize" | "doubleQuant">) };
}
