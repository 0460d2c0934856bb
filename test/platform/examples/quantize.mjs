// Any runtime: a tensor to NF4 with double quantization and back. node quantize.mjs · deno run quantize.mjs · bun quantize.mjs
import { dequantizeTensor, quantizeTensor, storageBytesOf } from "nibblelm/quant";

const values = Float32Array.from({ length: 64 * 1000 }, (_, i) => Math.fround(((i * 7919) % 1000) / 500 - 1));
const quantized = quantizeTensor(values, { type: "nf4", blocksize: 64, shape: [64, 1000] });
const restored = dequantizeTensor(quantized);
const largestError = values.reduce((most, value, i) => Math.max(most, Math.abs(value - restored[i])), 0);
console.log(JSON.stringify({ bitsPerValue: (8 * storageBytesOf(quantized)) / values.length, largestError }));
