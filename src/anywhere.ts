/** The calls of `nibblelm`, with whatever `openSource` takes where a command takes an open folder. */
import { evaluate as evaluateOpen, type EvaluateOptions as OpenEvaluateOptions } from "./commands/evaluate-model.ts";
import type { Evaluation } from "./commands/evaluate.ts";
import { inspect as inspectOpen, type InspectCall as OpenInspectCall, type Inspection } from "./commands/inspect.ts";
import { LanguageModel as OpenLanguageModel, loadModel as loadOpenModel, type LoadedAdapter, type LoadModelOptions as OpenLoadModelOptions } from "./commands/language-model.ts";
import { merge as mergeOpen, type MergeCall as OpenMergeCall, type MergeResult } from "./commands/merge.ts";
import { quantize as quantizeOpen, type QuantizeCall as OpenQuantizeCall, type QuantizeResult } from "./commands/quantize.ts";
import { train as trainOpen, type DataFile, type TrainCall as OpenTrainCall, type TrainResult } from "./commands/train.ts";
import { openSource, type SourceInput } from "./io/open-source.ts";

type Given<T, Model extends keyof T, Data extends keyof T = never> = Omit<T, Model | Data> &
  { [K in Model]: SourceInput | Extract<T[K], undefined> } & { [K in Data]: DataFile | File | Extract<T[K], undefined> };

export interface QuantizeCall extends Given<OpenQuantizeCall, "model"> {}
export interface MergeCall extends Given<OpenMergeCall, "model" | "adapter"> {}
export interface InspectCall extends Given<OpenInspectCall, "source"> {}
export interface LoadModelOptions extends Given<OpenLoadModelOptions, "model"> {}
/** @property data a `.txt` or `.jsonl` file, by its name */
export interface EvaluateOptions extends Omit<Given<OpenEvaluateOptions, "model", "data">, "adapter"> {
  readonly adapter?: SourceInput | undefined;
}
/** @property data a `.txt` or `.jsonl` file, by its name */
export interface TrainCall extends Omit<Given<OpenTrainCall, "model", "data">, "evalData" | "initAdapter" | "resume"> {
  readonly evalData?: DataFile | File | undefined;
  /** Start from this adapter; it brings its own r, alpha and targets. */
  readonly initAdapter?: SourceInput | undefined;
  /** A folder `checkpoint-N` to go on from. */
  readonly resume?: SourceInput | undefined;
}

/** @see commands/quantize.ts */
export async function quantize(call: QuantizeCall): Promise<QuantizeResult> {
  return quantizeOpen({ ...call, model: await openSource(call.model) });
}

/** @see commands/merge.ts */
export async function merge(call: MergeCall): Promise<MergeResult> {
  return mergeOpen({ ...call, model: await openSource(call.model), adapter: await openSource(call.adapter) });
}

/** @see commands/train.ts */
export async function train(call: TrainCall): Promise<TrainResult> {
  const { model, data, evalData, initAdapter, resume } = call;
  return trainOpen({
    ...call, model: await openSource(model), initAdapter: initAdapter && (await openSource(initAdapter)), resume: resume && (await openSource(resume)),
    data: await dataFile(data), evalData: evalData && (await dataFile(evalData)),
  });
}

/** @see commands/evaluate-model.ts */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { model, adapter, data } = options;
  return evaluateOpen({ ...options, model: await openSource(model), adapter: adapter && (await openSource(adapter)), data: await dataFile(data) });
}

/** @see commands/inspect.ts */
export async function inspect(call: InspectCall): Promise<Inspection> {
  return inspectOpen({ ...call, source: await openSource(call.source) });
}

/** A model that takes its adapters from anywhere too. */
export class LanguageModel extends OpenLanguageModel {
  /** @param source a folder with PEFT's files. @throws FormatError when the adapter is for another model. */
  override async loadAdapter(source: SourceInput): Promise<LoadedAdapter> {
    return super.loadAdapter(await openSource(source));
  }
}

/** @see commands/language-model.ts */
export async function loadModel(options: LoadModelOptions): Promise<LanguageModel> {
  return loadOpenModel({ ...options, model: await openSource(options.model) }, LanguageModel);
}

async function dataFile(data: DataFile | File): Promise<DataFile> {
  return data instanceof Blob ? { name: data.name, bytes: new Uint8Array(await data.arrayBuffer()) } : data;
}
