/** The smallest entry: tensors to 4 bits and back, in memory, synchronously, or as files stream by; with a few kernels of its own. */
export { quantizeTensor, type QuantizeTensorOptions } from "./quant/quantize-tensor.ts";
export { dequantizeTensor, type DequantizeTensorOptions } from "./quant/dequantize-tensor.ts";
export { quantizeStream, type QuantizeStreamOptions } from "./quant/quantize-stream.ts";
export { dequantizeStream, type DequantizeStreamOptions } from "./quant/dequantize-stream.ts";
export { storageBytesOf, type NestedState, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor, type ValueType } from "./quant/quantized-tensor.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
