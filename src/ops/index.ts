// One line an op; the tests and the benchmarks read this table.
export { rmsnorm } from "./rmsnorm.ts";
