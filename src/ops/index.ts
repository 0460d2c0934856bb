// One line an op; the tests and the benchmarks read this table.
export { rmsnorm } from "./rmsnorm.ts";
export { dequantize4bit } from "./dequantize-4bit.ts";
export { f16ToF32 } from "./f16-to-f32.ts";
export { bf16ToF32 } from "./bf16-to-f32.ts";
export { f32ToF16 } from "./f32-to-f16.ts";
export { f32ToBf16 } from "./f32-to-bf16.ts";
export { quantize4bit } from "./quantize-4bit.ts";
export { quantize8bit } from "./quantize-8bit.ts";
export { dequantize8bit } from "./dequantize-8bit.ts";
export { quantizeInt8 } from "./quantize-int8.ts";
export { quantizeInt4 } from "./quantize-int4.ts";
export { dequantizeInt8 } from "./dequantize-int8.ts";
export { dequantizeInt4 } from "./dequantize-int4.ts";
