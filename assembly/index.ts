// One line a kernel. The op table of src/ops gives their types; pointers go down, nothing comes up.
export { heapBase } from "./lib/heap-base";
export { rmsnorm } from "./rmsnorm";
export { dequantize4bit } from "./dequantize-4bit";
