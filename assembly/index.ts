// One line a kernel. The op table of src/ops gives their types; pointers go down, nothing comes up.
export { heapBase } from "./lib/heap-base";
export { rmsnorm } from "./rmsnorm";
export { dequantize4bit } from "./dequantize-4bit";
export { f16ToF32 } from "./f16-to-f32";
export { bf16ToF32 } from "./bf16-to-f32";
export { f32ToF16 } from "./f32-to-f16";
export { f32ToBf16 } from "./f32-to-bf16";
export { quantize4bit } from "./quantize-4bit";
export { quantize8bit } from "./quantize-8bit";
export { dequantize8bit } from "./dequantize-8bit";
export { quantizeInt8 } from "./quantize-int8";
export { quantizeInt4 } from "./quantize-int4";
export { dequantizeInt8 } from "./dequantize-int8";
export { dequantizeInt4 } from "./dequantize-int4";
