import { openContents, type Contents } from "../format/contents.ts";
import type { QuantState } from "../format/quant-state.ts";
import type { Bnb4Tensor, OpaqueTensor, WeightTensor } from "../format/weights.ts";
import type { SourceFolder } from "../io/types.ts";
import { elementsOf } from "../tensor.ts";
import { summaryOf } from "./contents-summary.ts";
import type { ErrorMeter, ErrorSums, ResolutionError, TensorErrors } from "./resolution-errors.ts";

export interface StoredInspectCall {
  /** A model folder, an adapter, a checkpoint of training or a `.safetensors` file; a `.gguf` file where the entry says so. */
  readonly source: SourceFolder;
  readonly onTensor?: ((tensor: InspectedTensor) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where the bytes of tensors in 4 bits go. */
export interface QuantizationBytes {
  readonly parameters: number;
  /** Two codes to a byte. */
  readonly codesBytes: number;
  /** One a block: a byte with double quantization, else a float32. */
  readonly absmaxBytes: number;
  /** A float32 for every 256 blocks; 0 without double quantization. */
  readonly nestedAbsmaxBytes: number;
  /** Tables that say what a code is, and the JSON with the offset: the same few bytes for every tensor. */
  readonly constantBytes: number;
}

export interface TensorQuantization extends QuantizationBytes {
  readonly type: QuantState["quantType"];
  readonly blocksize: number;
  readonly doubleQuant: boolean;
  /** What was taken off every absmax before it became a byte. */
  readonly nestedOffset: number | undefined;
  /** What it dequantizes to. */
  readonly dtype: QuantState["dtype"];
}

export interface InspectedTensor {
  readonly name: string;
  /** `F32`, `BF16`, `Q4_1`, `NF4`, `NF4+DQ`: with double quantization. */
  readonly storage: string;
  readonly shape: readonly number[];
  readonly parameters: number;
  /** With everything that is stored for it. */
  readonly bytes: number;
  readonly bitsPerParam: number;
  readonly quantization: TensorQuantization | undefined;
  /** Undefined when not asked for, and for types that are not decoded. */
  readonly errors: TensorErrors | undefined;
}

export interface Inspection {
  readonly name: string;
  readonly kind: Contents["kind"];
  readonly format: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** The configuration in one line. */
  readonly summary: string | undefined;
  readonly tensors: readonly InspectedTensor[];
  readonly parameters: number;
  /** Of the tensors, without the headers of files. */
  readonly bytes: number;
  readonly bitsPerParam: number;
  /** Over all tensors in 4 bits. */
  readonly quantization: QuantizationBytes | undefined;
  /** Over all tensors whose values are finite and of a type that is decoded; undefined when not asked for. */
  readonly errors: readonly ResolutionError[] | undefined;
}

/**
 * What lies in a file or folder, tensor by tensor, as it is stored: headers and tables are read, no device is needed.
 * @throws FormatError for a broken file; the signal's reason when aborted.
 */
export async function inspectStored(call: StoredInspectCall): Promise<Inspection> {
  const contents = await openContents(call.source);
  try {
    return await inspectContents(call, contents);
  } finally {
    await contents.close();
  }
}

/** What measures errors, and adds them up. */
export interface Measuring {
  readonly meter: ErrorMeter;
  readonly all: ErrorSums;
  readonly onProgress?: ((event: { readonly tensor: string; readonly done: number; readonly total: number }) => void) | undefined;
}

/** Tensor by tensor; with `measuring` all values are read. */
export async function inspectContents({ onTensor, signal }: Omit<StoredInspectCall, "source">, contents: Contents, measuring?: Measuring): Promise<Inspection> {
  const stored = [...contents.tensors.values()];
  const total = stored.reduce((sum, { storageBytes }) => sum + storageBytes, 0);
  const tensors: InspectedTensor[] = [];
  let done = 0;
  for (const source of stored) {
    signal?.throwIfAborted();
    const sums = measuring && source.kind !== "opaque" && elementsOf(source.shape) > 0
      ? await measuring.meter.measure(source, (part) => measuring.onProgress?.({ tensor: source.name, done: done + Math.round(part * source.storageBytes), total }), signal)
      : undefined;
    if (sums?.nonFinite === 0) measuring?.all.add(sums);
    done += source.storageBytes;
    const tensor = tensorOf(source, sums);
    tensors.push(tensor);
    onTensor?.(tensor);
  }
  const parameters = tensors.reduce((sum, tensor) => sum + tensor.parameters, 0);
  const { name, kind, format, files } = contents;
  return {
    name, kind, format, files: files.map((file) => ({ name: file.name, bytes: file.size })), summary: summaryOf(contents), tensors,
    parameters, bytes: total, bitsPerParam: (8 * total) / parameters, quantization: quantizationSum(tensors), errors: measuring?.all.resolutions(),
  };
}

function tensorOf(source: WeightTensor | OpaqueTensor, sums: ErrorSums | undefined): InspectedTensor {
  const { name, shape, storageBytes: bytes, kind } = source;
  const parameters = elementsOf(shape);
  const quantization = kind === "bnb4" ? quantizationOf(source) : undefined;
  return {
    name, shape, parameters, bytes, bitsPerParam: (8 * bytes) / parameters, quantization,
    storage: kind === "bnb4" ? `${source.state.quantType.toUpperCase()}${source.state.nested ? "+DQ" : ""}` : source.storage,
    errors: sums && {
      relativeTo: kind === "bnb4" ? "dequantized values" : "stored values",
      rms: Math.sqrt(sums.squares / sums.n), nonFinite: sums.nonFinite, resolutions: sums.resolutions(),
    },
  };
}

/** Opening the file has held each part's bytes against the shape. */
function quantizationOf({ state, shape, storageBytes, nestedAbsmax }: Bnb4Tensor): TensorQuantization {
  const { quantType: type, blocksize, nested, dtype } = state;
  const parameters = elementsOf(shape);
  const codesBytes = Math.ceil(parameters / 2);
  const absmaxBytes = Math.ceil(parameters / blocksize) * (nested ? 1 : 4);
  const nestedAbsmaxBytes = nestedAbsmax?.byteLength ?? 0;
  return {
    type, blocksize, doubleQuant: nested !== undefined, nestedOffset: nested?.offset, dtype,
    parameters, codesBytes, absmaxBytes, nestedAbsmaxBytes, constantBytes: storageBytes - codesBytes - absmaxBytes - nestedAbsmaxBytes,
  };
}

function quantizationSum(tensors: readonly InspectedTensor[]): QuantizationBytes | undefined {
  const parts = tensors.flatMap(({ quantization }) => quantization ?? []);
  const sum = (key: keyof QuantizationBytes): number => parts.reduce((total, part) => total + part[key], 0);
  if (!parts.length) return undefined;
  return { parameters: sum("parameters"), codesBytes: sum("codesBytes"), absmaxBytes: sum("absmaxBytes"), nestedAbsmaxBytes: sum("nestedAbsmaxBytes"), constantBytes: sum("constantBytes") };
}
