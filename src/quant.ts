/** The smallest entry: tensors in memory to 4 bits and back, synchronously, with a few kernels of its own. */
export { quantizeTensor, type QuantizeTensorOptions } from "./quant/quantize-tensor.ts";
export { dequantizeTensor, type DequantizeTensorOptions } from "./quant/dequantize-tensor.ts";
export { storageBytesOf, type NestedState, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor, type ValueType } from "./quant/quantized-tensor.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
