import type { InspectedTensor } from "../commands/inspect.ts";

/** Tensors that differ in the number of their layer only. */
export interface Row {
  /** `model.layers.0-29.mlp.up_proj.weight` */
  readonly name: string;
  readonly tensors: readonly InspectedTensor[];
}

const LAYER = /(?<=^|\.)\d+(?=\.)/;

/** Equal layers in one row, in the order of their first one. */
export function foldLayers(tensors: readonly InspectedTensor[]): Row[] {
  const rows = groupBy(tensors, ({ name, storage, shape, quantization }) => [name.replace(LAYER, "*"), storage, shape, quantization?.blocksize].join(" "));
  return [...rows.values()].map((row) => ({ name: nameOf(row), tensors: row }));
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

function nameOf(row: readonly InspectedTensor[]): string {
  const [{ name }] = row;
  if (row.length === 1) return name;
  return name.replace(LAYER, rangesOf(row.map((tensor) => Number(LAYER.exec(tensor.name)![0]))));
}

/** [0, 1, 2, 5] → `0-2,5` */
export function rangesOf(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const n of numbers.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && n === last[1] + 1) last[1] = n;
    else ranges.push([n, n]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
