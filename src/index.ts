/** NibbleLM for any runtime: no file system, no process. `nibblelm/node` adds paths and threads. */
export { quantizeTensor, type QuantizeTensorOptions } from "./quant/quantize-tensor.ts";
export { dequantizeTensor, type DequantizeTensorOptions } from "./quant/dequantize-tensor.ts";
export { quantizeStream, type QuantizeStreamOptions } from "./quant/quantize-stream.ts";
export { dequantizeStream, type DequantizeStreamOptions } from "./quant/dequantize-stream.ts";
export { storageBytesOf, type NestedState, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor, type ValueType } from "./quant/quantized-tensor.ts";

export {
  evaluate, inspect, LanguageModel, loadModel, merge, quantize, train,
  type EvaluateOptions, type InspectCall, type LoadModelOptions, type MergeCall, type QuantizeCall, type TrainCall,
} from "./anywhere.ts";
export type { QuantizeOptions, QuantizeResult } from "./commands/quantize.ts";
export { mergeTensor, type MergeTensorCall } from "./commands/merge-tensor.ts";
export type { MergeDtype, MergeOptions, MergeResult } from "./commands/merge.ts";
export type { ModelSizes, TensorProgress } from "./commands/convert-model.ts";
export type { Difference, TensorDifference } from "./commands/difference.ts";
export type { DataFile, StepEvent, TrainProgress, TrainResult } from "./commands/train.ts";
export { TRAIN_DEFAULTS, type QuantizeOnLoad, type TrainOptions } from "./commands/train-options.ts";
export type { Recovered } from "./commands/recovery.ts";
export type { Evaluation } from "./commands/evaluate.ts";
export type { AdapterUse, GenerateOptions, GenerationSummary, LoadedAdapter } from "./commands/language-model.ts";

export type { InspectedTensor, Inspection, QuantizationBytes, TensorQuantization } from "./commands/inspect.ts";
export type { ResolutionError, TensorErrors } from "./commands/resolution-errors.ts";
export type { Resolution } from "./commands/resolutions.ts";

export { createDevice, type DeviceOptions } from "./create-device.ts";
export { WasmDevice, type WasmDeviceOptions } from "./wasm/device.ts";
export { pickBuild, type KernelBuilds, type WasmBuild, type WasmSource } from "./wasm/kernels.ts";
export { webWorkers } from "./io/workers-web.ts";
export type { Pace, PaceRecord, Schedule, Throttle } from "./wasm/pace.ts";
export type { WorkerHandle, WorkerHost } from "./wasm/worker-host.ts";
export type { Device, DeviceMemory } from "./device.ts";

export { loadTokenizer, type Tokenizer } from "./text/tokenizer.ts";
export type { ChatMessage } from "./text/chat.ts";
export type { SamplingOptions } from "./text/sampling.ts";
export type { ModelConfig } from "./format/checkpoint.ts";

export { memoryFolder, MemorySink } from "./io/memory.ts";
export { MemoryRun } from "./io/memory-run.ts";
export { openStored, StoredSink, storedRunFolder } from "./io/stored-folder.ts";
export { encodeSafetensors, readSafetensors, type HostTensor } from "./format/safetensors.ts";
export { openSource, type OpenSourceOptions, type SourceInput } from "./io/open-source.ts";
export type { HttpOptions } from "./io/http.ts";
export type { ByteSink, ByteSource, SinkFolder, SourceFolder } from "./io/types.ts";
export type { RunFolder } from "./io/run-folder.ts";

export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
