import { KernelError } from "../errors.ts";
import { VARIANTS, type GpuKernel, type GpuPass, type Op, type Tiling, type Variant } from "../op.ts";
import { STAGE_COMPUTE } from "./constants.ts";
import type { Faults } from "./faults.ts";

/** What a dispatch binds: the operand's index, or the scratch buffer at index `operands.length`. */
export interface Slot {
  readonly index: number;
  readonly writes: boolean;
}

export interface Pipeline {
  readonly pass: GpuPass;
  readonly slots: readonly Slot[];
  readonly layout: GPUBindGroupLayout;
  /** Part of the keys of cached bind groups. */
  readonly layoutKey: string;
  readonly gpu: GPUComputePipeline;
}

interface Source { readonly file: string; readonly text: string }

/** The passes of a device with this tiling and these variants. @throws KernelError for an op without a shader. */
export function passesOn(op: Op, tiling: Tiling, variants: readonly Variant[]): readonly GpuPass[] {
  const agrees = (pass: GpuPass, variant: Variant): boolean => (pass.variants?.[variant] ?? variants.includes(variant)) === variants.includes(variant);
  return kernelOf(op).passes.filter((pass) => (pass.tiling ?? tiling) === tiling && VARIANTS.every((variant) => agrees(pass, variant)));
}

/** Compiles each pass of an op once. Uniform parameters are bound with a dynamic offset. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #faults: Faults;
  readonly #variants: readonly Variant[];
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #compiled = new Map<GpuPass, Pipeline>();
  readonly #modules = new Map<string, GPUShaderModule>(); // passes with the same files share one
  /** Matrix products compiled from now on are cut like this. */
  tiling: Tiling = "workgroup";
  /** Bytes that every binding of parameters offers. */
  readonly paramBytes: number;

  constructor(device: GPUDevice, faults: Faults, paramBytes: number, variants: readonly Variant[]) {
    this.#device = device;
    this.#faults = faults;
    this.#variants = variants;
    this.paramBytes = paramBytes;
  }

  /** Those that this device runs: of other tilings and variants, none. @throws KernelError for an op without a shader. */
  passesOf(op: Op): readonly GpuPass[] {
    return passesOn(op, this.tiling, this.#variants);
  }

  /** Compiled at its first use. A shader that does not compile is reported late, like every error of a GPU. */
  of(op: Op, pass: GpuPass): Pipeline {
    let pipeline = this.#compiled.get(pass);
    if (!pipeline) this.#compiled.set(pass, pipeline = this.#compile(op, pass));
    return pipeline;
  }

  #compile(op: Op, pass: GpuPass): Pipeline {
    const sources = [...(pass.lib ?? []), { file: `gpu/${op.name}.wgsl`, text: kernelOf(op).code }];
    const key = sources.map(({ file }) => file).join();
    let module = this.#modules.get(key);
    return this.#faults.scoped("validation", () => {
      module ??= this.#device.createShaderModule({ label: op.name, code: sources.map(({ text }) => text).join("\n") });
      this.#modules.set(key, module);
      return this.#pipeline(op, pass, module);
    }, async (error) => shaderError(sources, await module!.getCompilationInfo(), error));
  }

  #pipeline(op: Op, pass: GpuPass, module: GPUShaderModule): Pipeline {
    const slots: Slot[] = [];
    op.operands.forEach(({ name, access }, index) => {
      if (!pass.operands || pass.operands.includes(name)) slots.push({ index, writes: access !== "in" });
    });
    if (pass.scratch) slots.push({ index: op.operands.length, writes: true });
    const layoutKey = slots.map(({ index, writes }) => `${index}${writes ? "w" : "r"}`).join();
    const layout = this.#layout(layoutKey, slots);
    const gpu = this.#device.createComputePipeline({
      label: `${op.name}.${pass.entry}`,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: pass.entry, ...(pass.constants && { constants: pass.constants }) },
    });
    return { pass, slots, layout, layoutKey, gpu };
  }

  #layout(key: string, slots: readonly Slot[]): GPUBindGroupLayout {
    let layout = this.#layouts.get(key);
    if (layout) return layout;
    const params: GPUBindGroupLayoutEntry = { binding: 0, visibility: STAGE_COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: this.paramBytes } };
    const entries = slots.map(({ index, writes }): GPUBindGroupLayoutEntry =>
      ({ binding: index + 1, visibility: STAGE_COMPUTE, buffer: { type: writes ? "storage" : "read-only-storage" } }));
    layout = this.#device.createBindGroupLayout({ label: key, entries: [params, ...entries] });
    this.#layouts.set(key, layout);
    return layout;
  }
}

function kernelOf(op: Op): GpuKernel {
  if (!op.gpu) throw new KernelError(`gpu/${op.name}.wgsl`, "missing shader", { expected: "a contract with gpu", got: "none" });
  return op.gpu;
}

/** The first message of the compiler, at the file and line it came from. */
function shaderError(sources: readonly Source[], info: GPUCompilationInfo, error: GPUError): KernelError {
  const message = info.messages.find(({ type }) => type === "error");
  const last = sources[sources.length - 1].file;
  if (!message) return new KernelError(last, "the shader gives no pipeline", { got: error.message });
  let line = message.lineNum;
  for (const { file, text } of sources) {
    const lines = text.split("\n").length;
    if (line <= lines) return new KernelError(`${file}:${line}`, "the shader does not compile", { got: message.message });
    line -= lines;
  }
  return new KernelError(last, "the shader does not compile", { got: message.message });
}
