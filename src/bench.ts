/** What `nibblelm bench` measures, in any runtime: speeds beside what the machine can do at most. */
export { bench, type BenchOptions, type BenchResult } from "./commands/bench/bench.ts";
export { repeatCase, type RepeatOptions } from "./commands/bench/repeat.ts";
export type { BenchDevice } from "./commands/bench/measure.ts";
export type { BenchRow } from "./commands/bench/report.ts";
export type { SuiteName } from "./commands/bench/suites.ts";

export { createDevice, type DeviceOptions } from "./create-device.ts";
export type { Device, DeviceMemory } from "./device.ts";
export { memoryFolder } from "./io/memory.ts";
export type { SourceFolder } from "./io/types.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
