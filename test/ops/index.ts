// One line an op, in the order of src/ops/index.ts.
import bf16ToF32 from "./bf16-to-f32.ts";
import dequantize4bit from "./dequantize-4bit.ts";
import dequantize8bit from "./dequantize-8bit.ts";
import dequantizeInt4 from "./dequantize-int4.ts";
import dequantizeInt8 from "./dequantize-int8.ts";
import f16ToF32 from "./f16-to-f32.ts";
import f32ToBf16 from "./f32-to-bf16.ts";
import f32ToF16 from "./f32-to-f16.ts";
import quantize4bit from "./quantize-4bit.ts";
import quantize8bit from "./quantize-8bit.ts";
import quantizeInt4 from "./quantize-int4.ts";
import quantizeInt8 from "./quantize-int8.ts";
import rmsnorm from "./rmsnorm.ts";
import type { OpTest } from "../support/op-case.ts";

export const opTests: OpTest[] = [
  rmsnorm,
  dequantize4bit,
  f16ToF32,
  bf16ToF32,
  f32ToF16,
  f32ToBf16,
  quantize4bit,
  quantize8bit,
  dequantize8bit,
  quantizeInt8,
  quantizeInt4,
  dequantizeInt8,
  dequantizeInt4,
];
