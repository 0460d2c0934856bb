import type { InspectedTensor, Inspection, QuantizationBytes } from "../commands/inspect.ts";
import type { ResolutionError } from "../commands/resolution-errors.ts";
import { foldLayers, groupBy, type Row } from "./fold-layers.ts";
import { bytesText, countText, plural, table } from "./format.ts";

const sum = (tensors: readonly InspectedTensor[], key: "parameters" | "bytes"): number => tensors.reduce((total, tensor) => total + tensor[key], 0);

export function rowsOf({ tensors }: Inspection, all: boolean): Row[] {
  return all ? tensors.map((tensor) => ({ name: tensor.name, tensors: [tensor] })) : foldLayers(tensors);
}

/** Up to four digits after the point, as many as needed: 4.5, 4.1271 */
function bits(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toFixed(4))) : "-";
}

/** Counts and bytes are of all tensors of a row. */
export function tensorTable(inspection: Inspection, rows: readonly Row[]): string[] {
  const folded = rows.some(({ tensors }) => tensors.length > 1);
  const cells = rows.map(({ name, tensors }) => {
    const [{ storage, shape }] = tensors;
    const [parameters, bytes] = [sum(tensors, "parameters"), sum(tensors, "bytes")];
    return [name, ...(folded ? [tensors.length === 1 ? "" : `${tensors.length} ×`] : []), storage, shape.join(" × "), countText(parameters), countText(bytes), bits((8 * bytes) / parameters)];
  });
  const { parameters, bytes, bitsPerParam, tensors } = inspection;
  const head = ["tensor", ...(folded ? [""] : []), "type", "shape", "parameters", "bytes", "bits/param"];
  const total = [plural(tensors.length, "tensor"), ...(folded ? [""] : []), "", "", countText(parameters), countText(bytes), bits(bitsPerParam)];
  return withRules(table([head, ...cells, total], folded ? [1, 3, 4, 5, 6] : [2, 3, 4, 5]));
}

/** A line below the head and one above the total. */
function withRules(lines: readonly string[]): string[] {
  const rule = "-".repeat(Math.max(...lines.map(({ length }) => length)));
  return [lines[0], rule, ...lines.slice(1, -1), rule, lines[lines.length - 1]];
}

/** Where the bits of the tensors in 4 bits go, counted in this file, beside what the formula says. */
export function quantizationLines({ tensors }: Inspection): string[] {
  const kinds = groupBy(tensors.filter(({ quantization }) => quantization), ({ storage, quantization }) => `${storage} of blocksize ${quantization!.blocksize}`);
  return [...kinds].flatMap(([kind, members]) => ["", ...kindLines(kind, members)]);
}

function kindLines(kind: string, members: readonly InspectedTensor[]): string[] {
  const { blocksize, doubleQuant } = members[0].quantization!;
  const parts = members.map(({ quantization }) => quantization!);
  const total = (key: keyof QuantizationBytes): number => parts.reduce((all, part) => all + part[key], 0);
  const n = total("parameters");
  const bytes = total("codesBytes") + total("absmaxBytes") + total("nestedAbsmaxBytes") + total("constantBytes");
  const row = (what: string, size: number, formula: string): string[] => [`  ${what}`, countText(size), bits((8 * size) / n), formula];
  const rows = [
    [`${kind}: ${plural(members.length, "tensor")}`, "bytes", "bits/param", "by the formula"],
    row("codes", total("codesBytes"), "4"),
    ...(doubleQuant
      ? [row("absmax, a byte a block", total("absmaxBytes"), `8/${blocksize} = ${bits(8 / blocksize)}`), row("nested absmax, a float32 a 256 blocks", total("nestedAbsmaxBytes"), `32/(${blocksize}·256) = ${bits(32 / blocksize / 256)}`)]
      : [row("absmax, a float32 a block", total("absmaxBytes"), `32/${blocksize} = ${bits(32 / blocksize)}`)]),
    row("tables and state, the same for each tensor", total("constantBytes"), `${countText(total("constantBytes") / members.length)} bytes a tensor`),
    row("in all", bytes, doubleQuant ? `4 + 8/${blocksize} + 32/(${blocksize}·256) = ${bits(4 + 8 / blocksize + 32 / blocksize / 256)}` : `4 + 32/${blocksize} = ${bits(4 + 32 / blocksize)}`),
  ];
  return [...table(rows, [1, 2]), ...(doubleQuant ? savedLine(blocksize, n, total("absmaxBytes") + total("nestedAbsmaxBytes")) : [])];
}

/** What double quantization is for. */
function savedLine(blocksize: number, n: number, constants: number): string[] {
  const plain = 4 * Math.ceil(n / blocksize);
  return [`  A float32 for every block would be 32/${blocksize} = ${bits(32 / blocksize)} bits: double quantization saves ${bytesText(plain - constants)}, ${bits((8 * (plain - constants)) / n)} bits a parameter.`];
}

/** Every resolution over all tensors. */
export function errorTable(errors: readonly ResolutionError[]): string[] {
  const rows = errors.map(({ resolution, bytes, bitsPerParam, relativeRms, maxAbs, snrDb }) => [resolution, bits(bitsPerParam), bytesText(bytes), percent(relativeRms), number(maxAbs), decibels(snrDb)]);
  return table([["resolution", "bits/param", "size", "relative RMS error", "largest error", "SNR dB"], ...rows], [1, 2, 3, 4, 5]);
}

/** Relative RMS errors, a row for each row of tensors. */
export function errorRows(rows: readonly Row[]): string[] {
  const measured = rows.filter(({ tensors }) => tensors.every(({ errors }) => errors));
  if (!measured.length) return [];
  const names = measured[0].tensors[0].errors!.resolutions.map(({ resolution }) => resolution);
  const cells = measured.map(({ name, tensors }) => [name, ...names.map((_, i) => percent(relativeRms(tensors, i)))]);
  return table([["relative RMS error of", ...names], ...cells], names.map((_, i) => i + 1));
}

/** Of tensors together: errors weigh as the values do. */
function relativeRms(tensors: readonly InspectedTensor[], resolution: number): number {
  let [errors, values] = [0, 0];
  for (const { parameters, errors: of } of tensors) {
    const square = parameters * of!.rms ** 2;
    values += square;
    errors += square * of!.resolutions[resolution].relativeRms ** 2;
  }
  return errors === 0 ? 0 : Math.sqrt(errors / values);
}

function percent(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return number(value);
  return value < 1e-5 ? "< 0.001 %" : `${(100 * value).toPrecision(3)} %`;
}

function decibels(value: number): string {
  return Number.isFinite(value) ? value.toFixed(1) : number(value);
}

function number(value: number): string {
  return value === Infinity ? "∞" : Number.isNaN(value) ? "?" : value === 0 ? "0" : value.toPrecision(3);
}
