import type { Device } from "../device.ts";
import type { Tensor } from "../tensor.ts";
import { LINEARS, type LinearName } from "./activations.ts";
import type { Pager } from "../pager/pager.ts";
import type { DecoderLayer } from "./decoder-layer.ts";
import type { Embedding } from "./embedding.ts";
import { isSliced, type Head } from "./head.ts";
import type { Linear } from "./linear.ts";
import { ropeTables, type RopeScaling } from "./rope-table.ts";
import type { LlamaShape } from "./shape.ts";
import { ownTensors, type Weight } from "./weight.ts";

export interface LlamaParts {
  readonly shape: LlamaShape;
  readonly embedding: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: Tensor; // f32[hidden]
  /** The embedding again when it is tied. */
  readonly head: Head;
  /** Page i has the linears of layer i, those of the head follow; without it everything is on the device. */
  readonly pager?: Pager | undefined;
}

/** A Llama on a device: frozen weights, and adapters hung on its linears. */
export class Llama implements LlamaParts {
  readonly device: Device;
  readonly shape: LlamaShape;
  readonly embedding: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: Tensor;
  readonly head: Head;
  readonly pager: Pager | undefined;
  readonly #rope: { theta: number; scaling: RopeScaling | undefined };

  constructor(device: Device, parts: LlamaParts, rope: { theta: number; scaling: RopeScaling | undefined }) {
    this.device = device;
    this.shape = parts.shape;
    this.embedding = parts.embedding;
    this.layers = parts.layers;
    this.norm = parts.norm;
    this.head = parts.head;
    this.pager = parts.pager;
    this.#rope = rope;
  }

  /** Every linear an adapter may hang on, by its Hugging Face module path. The head is none of them. */
  linears(): Map<string, Linear> {
    return new Map(this.layers.flatMap((layer, i) => LINEARS.map((name) => [linearPath(i, name), layer.linears[name]] as const)));
  }

  /** Gives every weight back to the device. */
  dispose(): void {
    const tensors = new Set<Tensor>([this.norm]);
    const add = (weight: Weight): void => {
      for (const tensor of ownTensors(weight)) tensors.add(tensor);
    };
    if (this.embedding.kind !== "rows") add(this.embedding);
    if (!isSliced(this.head)) add(this.head);
    for (const layer of this.layers) {
      tensors.add(layer.inputNorm).add(layer.postAttentionNorm);
      for (const { weight, bias } of Object.values(layer.linears)) {
        add(weight);
        if (bias) tensors.add(bias);
      }
    }
    for (const tensor of tensors) this.device.free(tensor);
    this.pager?.release();
  }

  /** cos and sin for `positions` positions, on the device. */
  allocateRope(positions: number): { cos: Tensor; sin: Tensor } {
    const half = this.shape.headDim / 2;
    const tables = ropeTables(positions, this.shape.headDim, this.#rope.theta, this.#rope.scaling);
    const cos = this.device.allocate("f32", [positions, half], "rope.cos");
    const sin = this.device.allocate("f32", [positions, half], "rope.sin");
    this.device.write(cos, tables.cos);
    this.device.write(sin, tables.sin);
    return { cos, sin };
  }
}

const PARENT: Record<LinearName, string> = {
  q_proj: "self_attn", k_proj: "self_attn", v_proj: "self_attn", o_proj: "self_attn",
  gate_proj: "mlp", up_proj: "mlp", down_proj: "mlp",
};

/** `model.layers.3.mlp.up_proj` */
export function linearPath(layer: number, name: LinearName): string {
  return `model.layers.${layer}.${PARENT[name]}.${name}`;
}
