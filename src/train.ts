/** Fine-tuning alone: a device, a run, its loss, and folders to read from and write to. */
export { evaluate, train, type EvaluateOptions, type TrainCall } from "./anywhere.ts";
export type { DataFile, StepEvent, TrainProgress, TrainResult } from "./commands/train.ts";
export { TRAIN_DEFAULTS, type QuantizeOnLoad, type TrainOptions } from "./commands/train-options.ts";
export type { Evaluation } from "./commands/evaluate.ts";

export { createDevice, type DeviceOptions } from "./create-device.ts";
export type { Device, DeviceMemory } from "./device.ts";
export { webWorkers } from "./io/workers-web.ts";
export type { WorkerHandle, WorkerHost } from "./wasm/worker-host.ts";

export { memoryFolder, MemorySink } from "./io/memory.ts";
export { MemoryRun } from "./io/memory-run.ts";
export { openSource, type OpenSourceOptions, type SourceInput } from "./io/open-source.ts";
export type { HttpOptions } from "./io/http.ts";
export type { ByteSink, ByteSource, SinkFolder, SourceFolder } from "./io/types.ts";
export type { RunFolder } from "./io/run-folder.ts";
export { DeviceError, FormatError, KernelError, MemoryError, NibbleError, ShapeError } from "./errors.ts";
