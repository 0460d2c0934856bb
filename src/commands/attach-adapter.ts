import { FormatError } from "../errors.ts";
import { selectModules, type AdapterConfig, type AdapterMatrices } from "../format/peft.ts";
import type { Llama } from "../nn/llama.ts";
import { AdapterParameters, type Lora, type LoraModule } from "../nn/lora.ts";
import { randomKey, uniforms } from "../random.ts";

/** The linears that the adapter adapts, with their sizes. @throws ShapeError when it fits none. */
export function adapterModules(model: Llama, config: AdapterConfig): LoraModule[] {
  return modulesAmong(new Map([...model.linears()].map(([path, { weight }]) => [path, weight])), config);
}

/** The same for linears that need not be loaded, by module path. */
export function modulesAmong(linears: ReadonlyMap<string, { readonly in: number; readonly out: number }>, config: AdapterConfig): LoraModule[] {
  return [...selectModules(config, linears.keys())].map(([path, { r, scaling }]) => {
    const { in: width, out } = linears.get(path)!;
    return { path, r, scaling, in: width, out };
  });
}

/**
 * Every module has its A [r, in] and B [out, r], and nothing else is there.
 * @throws FormatError naming the module: this adapter is for another model.
 */
export function checkAdapter(where: string, modules: readonly LoraModule[], tensors: ReadonlyMap<string, AdapterMatrices>): void {
  const hint = "an adapter fits only the model it was trained on";
  const known = new Set(modules.map((m) => m.path));
  const stray = [...tensors.keys()].find((path) => !known.has(path));
  if (stray) throw new FormatError(where, `${stray} has adapter weights, but the model has no such linear among the adapter's targets`, { hint });
  for (const m of modules) {
    const found = tensors.get(m.path);
    if (!found) throw new FormatError(where, `no adapter weights for ${m.path}`, { expected: `lora_A [${m.r}, ${m.in}] and lora_B [${m.out}, ${m.r}]`, got: "none", hint });
    for (const [name, shape, values] of [["lora_A", [m.r, m.in], found.a], ["lora_B", [m.out, m.r], found.b]] as const) {
      expectSize(where, `${m.path}.${name}`, shape, values.length, hint);
      const bad = values.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) throw new FormatError(`${where}: ${m.path}.${name}`, `element ${bad}`, { expected: "a finite value", got: values[bad], hint: "the training that wrote this adapter had diverged" });
    }
  }
}

function expectSize(where: string, name: string, shape: readonly [number, number], got: number, hint: string): void {
  if (got !== shape[0] * shape[1]) throw new FormatError(where, `size of ${name}`, { expected: `[${shape}], ${shape[0] * shape[1]} values`, got, hint });
}

/** A ~ U(−1/√in, 1/√in), which is Kaiming-uniform(√5), from the stream `init/<path>`; B = 0. Source: PEFT. */
export function initialAdapter(modules: readonly LoraModule[], seed: number): Map<string, AdapterMatrices> {
  return new Map(modules.map((m) => {
    const a = new Float32Array(m.r * m.in);
    uniforms(a, randomKey(seed, `init/${m.path}`), 0, 0);
    const bound = 1 / Math.sqrt(m.in);
    for (let i = 0; i < a.length; i++) a[i] = (2 * a[i] - 1) * bound;
    return [m.path, { a, b: new Float32Array(m.out * m.r) }];
  }));
}

/** Hangs the adapter on the model's linears, in place of any other. */
export function attachForTraining(model: Llama, modules: readonly LoraModule[], dropout: number, seed: number): AdapterParameters {
  const parameters = new AdapterParameters(model.device, modules, true);
  const linears = model.linears();
  for (const slot of parameters.slots) {
    const { path } = slot.module;
    linears.get(path)!.loras = [parameters.lora(slot, dropout > 0 ? dropoutKey(dropout, seed, path) : undefined)];
  }
  return parameters;
}

function dropoutKey(probability: number, seed: number, path: string): Lora["dropout"] {
  const [key0, key1] = randomKey(seed, `dropout/${path}`);
  return { probability, key0, key1 };
}
