import { inspect, type InspectedTensor, type Inspection } from "../commands/inspect.ts";
import { cliCommand } from "./command.ts";
import { DEVICE_FLAGS, openDevice } from "./device.ts";
import { bytesText, plural } from "./format.ts";
import { errorRows, errorTable, quantizationLines, rowsOf, tensorTable } from "./inspect-tables.ts";
import { snakeCased } from "./json.ts";
import type { Output } from "./output.ts";
import { openModelSource } from "./sources.ts";

export const command = cliCommand({
  name: "inspect",
  positional: { name: "PATH", help: "a model folder, a .gguf or .safetensors file, an adapter, a checkpoint-N of training, a Hub id (of which headers alone are read), or demo", required: true },
  flags: ["error", "blocksize", "all", ...DEVICE_FLAGS, "json"],
  differs: { blocksize: { help: "with --error: weights that share one scale: 32, 64, … 4096" } },
  examples: ["nibblelm inspect demo --error", "nibblelm inspect smollm2-135m.gguf", "nibblelm inspect my-adapter/checkpoint-50 --all"],
}, async (values, session) => {
  const { output, signal } = session;
  const source = await openModelSource(values.argument!, session, { download: values.error === true });
  const onTensor = (tensor: InspectedTensor): void => output.object({ event: "tensor", ...(snakeCased(tensor) as object) });
  const { blocksize, error, all = false } = values;
  if (!error) return report(await inspect({ source, blocksize, onTensor, signal }), all, output);
  await using device = await openDevice(values, output);
  const bar = output.progress("measure", "bytes");
  const inspection = await inspect({ source, blocksize, error, device, onTensor, signal, onProgress: ({ done, total }) => bar.update(done, total) });
  output.endProgress();
  report(inspection, all, output);
});

function report(inspection: Inspection, all: boolean, output: Output): void {
  const { tensors, ...result } = inspection;
  const rows = rowsOf(inspection, all);
  const lines = [...heading(inspection), "", ...tensorTable(inspection, rows), ...quantizationLines(inspection), ...(inspection.errors ? errorLines(inspection, rows) : [])];
  for (const line of lines) output.line(line);
  output.object({ event: "result", ...(snakeCased({ ...result, tensors: tensors.length }) as object) });
}

function heading({ name, kind, format, files, summary }: Inspection): string[] {
  const size = files.reduce((sum, { bytes }) => sum + bytes, 0);
  return [`${name}: ${kind}, ${format}, ${files.length === 1 ? "" : `${plural(files.length, "file")} of `}${bytesText(size)}`, ...(summary ? [summary] : [])];
}

function errorLines(inspection: Inspection, rows: ReturnType<typeof rowsOf>): string[] {
  const { tensors, errors } = inspection;
  const damaged = tensors.filter((tensor) => tensor.errors?.nonFinite);
  const unread = tensors.filter((tensor) => !tensor.errors);
  const dequantized = tensors.some((tensor) => tensor.errors?.relativeTo === "dequantized values");
  return [
    "", "What each resolution would cost, over all tensors", ...errorTable(errors!), "", ...errorRows(rows),
    ...(dequantized ? ["", "Tensors in 4 bits are compared with what they dequantize to: the error made when they were quantized is not in these figures."] : []),
    ...(damaged.length ? ["", `NaN or infinity among the values, so not in the totals: ${namesOf(damaged)}`] : []),
    ...(unread.length ? ["", `Not measured, because their type is not decoded: ${namesOf(unread)}`] : []),
  ];
}

function namesOf(tensors: readonly InspectedTensor[]): string {
  return `${tensors.slice(0, 3).map(({ name, storage }) => `${name} (${storage})`).join(", ")}${tensors.length > 3 ? ` and ${tensors.length - 3} more` : ""}`;
}
