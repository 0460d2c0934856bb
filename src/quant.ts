/** The smallest entry: tensors to 4 bits and back, in memory, synchronously, or as files stream by, and what a file holds; with a few kernels of its own. */
export { quantizeTensor, type QuantizeTensorOptions } from "./quant/quantize-tensor.ts";
export { dequantizeTensor, type DequantizeTensorOptions } from "./quant/dequantize-tensor.ts";
export { quantizeStream, type QuantizeStreamOptions } from "./quant/quantize-stream.ts";
export { dequantizeStream, type DequantizeStreamOptions } from "./quant/dequantize-stream.ts";
export { storageBytesOf, type NestedState, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor, type ValueType } from "./quant/quantized-tensor.ts";
export { inspectStored as inspect, type InspectedTensor, type Inspection, type QuantizationBytes, type StoredInspectCall, type TensorQuantization } from "./commands/inspect-stored.ts";
export type { ResolutionError, TensorErrors } from "./commands/resolution-errors.ts";
export type { Resolution } from "./commands/resolutions.ts";
export { openSource, type OpenSourceOptions, type SourceInput } from "./io/open-source.ts";
export type { HttpOptions } from "./io/http.ts";
export type { ByteSource, SourceFolder } from "./io/types.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
