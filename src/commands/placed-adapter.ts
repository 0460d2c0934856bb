import { readAdapter } from "../format/peft.ts";
import type { SourceFolder } from "../io/types.ts";
import type { Llama } from "../nn/llama.ts";
import { AdapterParameters, type Lora } from "../nn/lora.ts";
import { adapterModules, checkAdapter } from "./attach-adapter.ts";

/** An adapter in a model's device memory, read from its folder again when the device was replaced. */
export class PlacedAdapter {
  readonly name: string;
  rank = 1;
  loras: ReadonlyMap<string, Lora> = new Map();
  readonly #source: SourceFolder;
  readonly #forget: (adapter: PlacedAdapter) => void;
  #parameters: AdapterParameters | undefined;

  /** @param forget called when it is disposed of */
  constructor(source: SourceFolder, forget: (adapter: PlacedAdapter) => void) {
    this.name = source.name;
    this.#source = source;
    this.#forget = forget;
  }

  /** @throws FormatError when the adapter is for another model. */
  async place(model: Llama): Promise<void> {
    const { config, tensors } = await readAdapter(this.#source);
    const modules = adapterModules(model, config);
    checkAdapter(this.name, modules, tensors);
    const parameters = this.#parameters = new AdapterParameters(model.device, modules, false);
    parameters.write(tensors);
    await model.device.finish();
    this.rank = Math.max(1, ...modules.map((m) => m.r));
    this.loras = new Map(parameters.slots.map((slot) => [slot.module.path, parameters.lora(slot)]));
  }

  dispose(): void {
    this.#parameters?.dispose();
    this.#forget(this);
  }
}
