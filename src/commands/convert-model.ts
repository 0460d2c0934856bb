import type { Device } from "../device.ts";
import type { Checkpoint, WeightTensor } from "../format/checkpoint.ts";
import { ModelWriter, type TensorPlan } from "../format/model-writer.ts";
import type { SinkFolder } from "../io/types.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import { Converter } from "./converter.ts";
import type { DifferenceMeter } from "./difference.ts";
import { writeModelFiles } from "./model-folder.ts";
import type { LoadQuantization } from "./quantize-while-loading.ts";
import type { NanPolicy } from "./write-tensor.ts";

/** What becomes of one tensor. */
export interface TensorItem {
  readonly source: WeightTensor;
  readonly plan: TensorPlan;
  /** Quantize first what is not in 4 bits, in memory: the base as an adapter was trained on it. */
  readonly quantization?: LoadQuantization | undefined;
  /** Made when its tensor's turn comes. */
  readonly edit?: (() => Edit) | undefined;
}

/** Changes values on their way. */
export interface Edit {
  /** values: f32[n] on the device, elements [at, at + n) of the tensor. */
  apply(values: Tensor, at: number, n: number): void;
  dispose(): void;
}

export interface TensorProgress {
  readonly phase: string;
  readonly tensor: string;
  /** Bytes of the source. */
  readonly done: number;
  readonly total: number;
}

export interface ConvertOptions {
  readonly phase: string;
  readonly checkpoint: Checkpoint;
  /** config.json of the output. */
  readonly config: Record<string, unknown>;
  readonly output: SinkFolder;
  readonly device: Device;
  readonly nan: NanPolicy;
  /** By tensor: the offset of double quantization, instead of our own mean. */
  readonly nestedOffsets?: ReadonlyMap<string, number> | undefined;
  /** What edits change, and what rounding to the output's dtype adds. */
  readonly meters?: { readonly change: DifferenceMeter; readonly rounding: DifferenceMeter } | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: TensorProgress) => void) | undefined;
}

export interface ModelSizes {
  /** Of the weights in the source. */
  readonly bytesIn: number;
  /** Of the files of weights. */
  readonly bytesOut: number;
  readonly parameters: number;
  /** bytesOut · 8 / parameters. */
  readonly bitsPerParam: number;
  readonly tensors: number;
  /** Whether the source had a tokenizer, so that the output has one. */
  readonly tokenizer: boolean;
}

/** Writes a model folder with these tensors, and the tokenizer if the source has one. Memory does not grow with the model. */
export async function convertModel(items: readonly TensorItem[], options: ConvertOptions): Promise<ModelSizes> {
  const { checkpoint, config, output } = options;
  const tokenizer = await writeModelFiles(output, checkpoint, config);
  const writer = new ModelWriter(output, items.map(({ plan }) => plan));
  await new Converter(options, writer, items).run();
  const bytesOut = await writer.finish();
  const parameters = items.reduce((sum, { source }) => sum + elementsOf(source.shape), 0);
  const bytesIn = items.reduce((sum, { source }) => sum + source.storageBytes, 0);
  return { bytesIn, bytesOut, parameters, bitsPerParam: (8 * bytesOut) / parameters, tensors: items.length, tokenizer };
}
