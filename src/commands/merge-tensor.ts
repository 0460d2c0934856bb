import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { readAdapter } from "../format/peft.ts";
import type { SourceFolder } from "../io/types.ts";
import { modulesAmong } from "./attach-adapter.ts";
import { LoraDelta } from "./lora-delta.ts";
import { CHUNK } from "./read-tensor.ts";

export interface MergeTensorCall {
  /** f32[out, in], row-major. */
  readonly values: Float32Array;
  readonly shape: readonly [out: number, width: number];
  /** `model.layers.0.self_attn.q_proj`: which of the adapter's modules. */
  readonly module: string;
  /** A folder with PEFT's files. */
  readonly adapter: SourceFolder;
  readonly device: Device;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One weight with an adapter in it: W + scaling · B · A, all in f32. For who holds a tensor and no model.
 * @throws ShapeError for values that are not the shape's, FormatError for an adapter without this module or of another size.
 */
export async function mergeTensor({ values, shape, module: path, adapter: source, device, signal }: MergeTensorCall): Promise<Float32Array> {
  const [out, width] = shape;
  if (shape.length !== 2 || values.length !== out * width) throw new ShapeError("mergeTensor", "values", { expected: `[${shape}]`, got: values.length });
  const { config, tensors } = await readAdapter(source);
  const matrices = tensors.get(path);
  const [module] = matrices ? modulesAmong(new Map([[path, { out, in: width }]]), config) : [];
  if (!matrices || !module) throw new FormatError(source.name, "module", { expected: `one of ${[...tensors.keys()].slice(0, 3).join(", ")}, …`, got: path });
  if (matrices.a.length !== module.r * width || matrices.b.length !== out * module.r) throw new FormatError(source.name, `size of ${path}`, { expected: `lora_A [${module.r}, ${width}] and lora_B [${out}, ${module.r}]`, got: `${matrices.a.length} and ${matrices.b.length} values` });
  const merged = new Float32Array(values.length);
  const chunk = device.allocate("f32", [Math.min(values.length, CHUNK)], path);
  const delta = new LoraDelta(device, module, matrices);
  try {
    for (let at = 0; at < values.length; at += CHUNK) {
      signal?.throwIfAborted();
      const part = values.subarray(at, at + CHUNK);
      device.write(chunk, part);
      delta.apply(chunk, at, part.length);
      merged.set(((await device.read(chunk)) as Float32Array).subarray(0, part.length), at);
    }
    return merged;
  } finally {
    delta.dispose();
    device.free(chunk);
  }
}
