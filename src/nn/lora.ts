import type { Device } from "../device.ts";
import { fill } from "../ops/index.ts";
import { LANES, PIECE, readPieces } from "../pager/pieces.ts";
import { viewTensor, type Tensor } from "../tensor.ts";

/** One low-rank update of one linear: y += scaling · (x Aᵀ) Bᵀ. */
export interface Lora {
  readonly a: Tensor; // f32[r, in]
  readonly b: Tensor; // f32[out, r]
  readonly r: number;
  /** alpha / r, or alpha / √r with rsLoRA. */
  readonly scaling: number;
  readonly gradA?: Tensor; // f32[r, in]
  readonly gradB?: Tensor; // f32[out, r]
  readonly dropout?: { readonly probability: number; readonly key0: number; readonly key1: number };
}

/** What an adapter is before it has memory on a device. */
export interface LoraModule {
  /** `model.layers.0.self_attn.q_proj` */
  readonly path: string;
  readonly r: number;
  readonly scaling: number;
  readonly in: number;
  readonly out: number;
}

/** Offsets are multiples of 64 elements = 256 bytes, what any GPU accepts as a binding offset. */
const ALIGN = 64;

interface Slot { module: LoraModule; a: number; b: number }

/** A and B by module path. */
type Matrices = Map<string, { a: Float32Array; b: Float32Array }>;

/** All adapter matrices of a model in one flat buffer, with gradients, and an optimizer's states, of the same layout. */
export class AdapterParameters {
  readonly slots: readonly Slot[];
  readonly length: number;
  readonly param: Tensor;
  readonly grad: Tensor | undefined;
  readonly #device: Device;

  /** With `training`, gradients too, set to 0. Parameters are undefined until `write`. */
  constructor(device: Device, modules: readonly LoraModule[], training: boolean) {
    this.#device = device;
    let at = 0;
    const place = (n: number): number => { const here = at; at += Math.ceil(n / ALIGN) * ALIGN; return here; };
    this.slots = modules.map((module) => ({ module, a: place(module.r * module.in), b: place(module.out * module.r) }));
    this.length = Math.max(at, ALIGN);
    const make = (label: string): Tensor => {
      const tensor = device.allocate("f32", [this.length], label);
      device.run(fill, { y: tensor }, { n: this.length, value: 0 });
      return tensor;
    };
    this.param = make("adapter");
    if (training) this.grad = make("adapter gradients");
  }

  /** Number of trainable values, padding not counted. */
  get count(): number {
    return this.slots.reduce((sum, { module: m }) => sum + m.r * (m.in + m.out), 0);
  }

  lora(slot: Slot, dropout?: Lora["dropout"]): Lora {
    const { module: m } = slot;
    const a = (flat: Tensor): Tensor => viewTensor(flat, [m.r, m.in], slot.a);
    const b = (flat: Tensor): Tensor => viewTensor(flat, [m.out, m.r], slot.b);
    const gradients = this.grad ? { gradA: a(this.grad), gradB: b(this.grad) } : {};
    return { a: a(this.param), b: b(this.param), r: m.r, scaling: m.scaling, ...gradients, ...(dropout ? { dropout } : {}) };
  }

  /** Reads as `read` will, so that a GPU has its buffers for that before frames of a base take what is left. */
  async prepare(): Promise<void> {
    await readPieces(this.#device, viewTensor(this.param, [Math.min(this.length, LANES * PIECE)]));
  }

  /** Sets the parameters of the modules that are named. */
  write(values: ReadonlyMap<string, { readonly a: Float32Array; readonly b: Float32Array }>): void {
    for (const { module, a, b } of this.slots) {
      const matrices = values.get(module.path);
      if (!matrices) continue;
      this.#device.write(viewTensor(this.param, [matrices.a.length], a), matrices.a);
      this.#device.write(viewTensor(this.param, [matrices.b.length], b), matrices.b);
    }
  }

  /** The parameters, or the gradients; nothing may change them before the answer is there. */
  async read(flat = this.param): Promise<Matrices> {
    return this.split(await readPieces(this.#device, flat));
  }

  /** What has the layout of the flat buffer, by module: parts of it, not copies. */
  split(flat: Float32Array): Matrices {
    return new Map(this.slots.map(({ module: m, a, b }) => [
      m.path, { a: flat.subarray(a, a + m.r * m.in), b: flat.subarray(b, b + m.out * m.r) },
    ]));
  }

  /** … and back. */
  join(values: ReadonlyMap<string, { readonly a: Float32Array; readonly b: Float32Array }>): Float32Array<ArrayBuffer> {
    const flat = new Float32Array(this.length);
    for (const { module, a, b } of this.slots) {
      const matrices = values.get(module.path);
      if (!matrices) continue;
      flat.set(matrices.a, a);
      flat.set(matrices.b, b);
    }
    return flat;
  }

  dispose(): void {
    for (const tensor of [this.param, this.grad]) if (tensor) this.#device.free(tensor);
  }
}

