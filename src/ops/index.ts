// One line an op; the tests and the benchmarks read this table.
export { rmsnorm } from "./rmsnorm.ts";
export { dequantize4bit } from "./dequantize-4bit.ts";
