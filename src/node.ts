/** NibbleLM for Node, Deno and Bun: all of `nibblelm`, with paths where the library takes folders, and threads. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluate as evaluateAnywhere, type EvaluateOptions } from "./commands/evaluate-model.ts";
import type { Evaluation } from "./commands/evaluate.ts";
import { inspect as inspectAnywhere, type InspectCall, type Inspection } from "./commands/inspect.ts";
import { LanguageModel, loadModel as loadModelAnywhere, type LoadedAdapter, type LoadModelOptions } from "./commands/language-model.ts";
import { merge as mergeAnywhere, type MergeCall, type MergeResult } from "./commands/merge.ts";
import { quantize as quantizeAnywhere, type QuantizeCall, type QuantizeResult } from "./commands/quantize.ts";
import { train as trainAnywhere, type DataFile, type TrainCall, type TrainResult } from "./commands/train.ts";
import { openDevice, type DeviceOptions } from "./create-device.ts";
import type { Device } from "./device.ts";
import { cpuSeconds } from "./io/cpu-time.ts";
import { nodeGpu, nodeHardwareGpu } from "./io/gpu-node.ts";
import { GpuTilingsFile } from "./io/gpu-tilings-node.ts";
import { asHubId, openPathOrHub } from "./hub/open-hub.ts";
import { createSink, openSource as openPath } from "./io/node.ts";
import { openSource as openAnywhere, type OpenSourceOptions, type SourceInput } from "./io/open-source.ts";
import { systemError } from "./io/node-errors.ts";
import { openRunFolder } from "./io/node-run-folder.ts";
import type { RunFolder } from "./io/run-folder.ts";
import type { SinkFolder, SourceFolder } from "./io/types.ts";
import { planThreads, type ThreadOptions } from "./io/threads-node.ts";

export * from "./index.ts";
export { createSink, type SinkOptions } from "./io/node.ts";
export { openRunFolder, type RunFolderOptions } from "./io/node-run-folder.ts";
export { nodeWorkers } from "./io/workers-node.ts";
export type { ThreadOptions } from "./io/threads-node.ts";
export { openHub } from "./hub/open-hub.ts";
export type { HubOptions } from "./hub/hub-settings.ts";

export interface NodeDeviceOptions extends Omit<DeviceOptions, "threads" | "workers" | "pace">, ThreadOptions {}

/** A device with this runtime's worker threads; WebGPU comes from the runtime or, in Node and Bun, from the package `webgpu`. */
export function createDevice({ threads, polite, cpuShare, onAllowance, ...options }: NodeDeviceOptions = {}): Promise<Device> {
  return openDevice({ gpuTilings: new GpuTilingsFile(), ...options, ...planThreads({ threads, polite, cpuShare, onAllowance }) }, nodeGpu, nodeHardwareGpu);
}

/** Path of a folder or a file, `demo`, the small model inside the package, a Hub id like `owner/name`, or what `openSource` takes. */
export type ModelPath = string | SourceInput;

/** @see openSource of `nibblelm`; a string is a path or, where nothing lies at it, a Hub id. */
export async function openSource(input: ModelPath, options?: OpenSourceOptions): Promise<SourceFolder> {
  return typeof input === "string" ? openPathOrHub(input) : openAnywhere(input, options);
}

type WithPaths<T extends { readonly model: SourceFolder; readonly device: Device }, Data extends string = never> =
  Omit<T, "model" | "device" | "adapter" | Data> & {
    readonly model: ModelPath;
    /** Default: one of one thread, which ends with the call. */
    readonly device?: Device;
  };

export interface NodeQuantizeCall extends WithPaths<QuantizeCall, "output"> {
  /** Path of a folder that is not there yet. */
  readonly output: string | SinkFolder;
  /** Replace the output folder if it is there and holds a model. */
  readonly force?: boolean;
}

export interface NodeMergeCall extends WithPaths<MergeCall, "output"> {
  readonly adapter: ModelPath;
  /** Path of a folder that is not there yet. */
  readonly output: string | SinkFolder;
  /** Replace the output folder if it is there and holds a model. */
  readonly force?: boolean;
}

export interface NodeTrainCall extends WithPaths<TrainCall, "data" | "evalData" | "output" | "initAdapter" | "resume"> {
  /** Path of a `.txt` or `.jsonl` file. */
  readonly data: string | DataFile;
  readonly evalData?: string | DataFile;
  /** Path of a new or empty folder. */
  readonly output: string | RunFolder;
  /** Write into an output folder that holds something already; `resume` implies it. */
  readonly force?: boolean;
  readonly initAdapter?: ModelPath;
  readonly resume?: ModelPath;
}

export interface NodeEvaluateOptions extends WithPaths<EvaluateOptions, "data"> {
  readonly adapter?: ModelPath;
  /** Path of a `.txt` or `.jsonl` file. */
  readonly data: string | DataFile;
}

export type NodeLoadModelOptions = WithPaths<LoadModelOptions>;

/** @see quantize of `nibblelm` */
export async function quantize({ force = false, ...call }: NodeQuantizeCall): Promise<QuantizeResult> {
  const model = await openModel(call.model);
  return withDevice(call.device, async (device) => {
    const output = await openOutput(call.output, force, [call.model]);
    return quantizeAnywhere({ ...call, model, output, device } as QuantizeCall);
  });
}

/** @see merge of `nibblelm` */
export async function merge({ force = false, ...call }: NodeMergeCall): Promise<MergeResult> {
  const folders = { model: await openModel(call.model), adapter: await openSource(call.adapter) };
  return withDevice(call.device, async (device) => {
    const output = await openOutput(call.output, force, [call.model, call.adapter]);
    return mergeAnywhere({ ...call, ...folders, output, device } as MergeCall);
  });
}

/** @see train of `nibblelm` */
export async function train({ force = false, ...call }: NodeTrainCall): Promise<TrainResult> {
  const { data, evalData, output, initAdapter, resume } = call;
  const folders = { model: await openModel(call.model), initAdapter: initAdapter && (await openSource(initAdapter)), resume: resume && (await openSource(resume)) };
  const files = { data: await openData(data), evalData: evalData && (await openData(evalData)) };
  const runFolder = typeof output === "string" ? await openRunFolder(output, { existing: force || resume !== undefined }) : output;
  return withDevice(call.device, (device) => trainAnywhere({ cpuSeconds, ...call, ...folders, ...files, output: runFolder, device } as TrainCall));
}

/** @see evaluate of `nibblelm` */
export async function evaluate(options: NodeEvaluateOptions): Promise<Evaluation> {
  const { adapter } = options;
  const parts = { model: await openModel(options.model), adapter: adapter && (await openSource(adapter)), data: await openData(options.data) };
  return withDevice(options.device, (device) => evaluateAnywhere({ ...options, ...parts, device } as EvaluateOptions));
}

/** A model that takes its adapters from paths too. */
export class NodeLanguageModel extends LanguageModel {
  /** @param source path of a folder with PEFT's files, or the folder itself. @throws FormatError when the adapter is for another model. */
  override async loadAdapter(source: string | SourceFolder): Promise<LoadedAdapter> {
    return super.loadAdapter(await openSource(source));
  }
}

/** @see loadModel of `nibblelm`. A device made here needs no disposal: idle threads do not keep the process alive. */
export async function loadModel(options: NodeLoadModelOptions): Promise<NodeLanguageModel> {
  return loadModelAnywhere({ ...options, model: await openModel(options.model), device: options.device ?? (await createDevice()) }, NodeLanguageModel);
}

export interface NodeInspectCall extends Omit<InspectCall, "source"> {
  /** Path of a folder or a file, or `demo`. */
  readonly source: ModelPath;
}

/** @see inspect of `nibblelm` */
export async function inspect(call: NodeInspectCall): Promise<Inspection> {
  const source = await openModel(call.source);
  if (!call.error) return inspectAnywhere({ ...call, source });
  return withDevice(call.device, (device) => inspectAnywhere({ ...call, source, device }));
}

async function withDevice<T>(given: Device | undefined, work: (device: Device) => Promise<T>): Promise<T> {
  const device = given ?? (await createDevice());
  try {
    return await work(device);
  } finally {
    if (!given) await device.dispose();
  }
}

// This file, as source and as bundle, is one folder below the package's root.
const DEMO_FOLDER = new URL("../src/demo/", import.meta.url);

async function openModel(model: ModelPath): Promise<SourceFolder> {
  if (model !== "demo") return openSource(model);
  const folder = await openPath(fileURLToPath(DEMO_FOLDER));
  return { name: "demo", list: () => folder.list(), has: (file) => folder.has(file), open: (file) => folder.open(file), readText: (file) => folder.readText(file) };
}

/** The output may not be, or hold, an input. */
function openOutput(output: string | SinkFolder, force: boolean, inputs: readonly ModelPath[]): Promise<SinkFolder> | SinkFolder {
  if (typeof output !== "string") return output;
  const paths = inputs.map((input) => (input === "demo" ? fileURLToPath(DEMO_FOLDER) : input)).filter((input) => typeof input === "string" && !asHubId(input)) as string[];
  return createSink(output, { force, inputs: paths });
}

async function openData(data: string | DataFile): Promise<DataFile> {
  if (typeof data !== "string") return data;
  try {
    return { name: basename(data), bytes: await readFile(data) };
  } catch (cause) {
    throw systemError(data, cause);
  }
}
