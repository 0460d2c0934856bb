import { ShapeError } from "../../errors.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { BenchCase } from "./bench-case.ts";
import { dequantizeCases, quantizeCases } from "./quantize-cases.ts";
import { generateCase } from "./generate-case.ts";
import { matmulGroups } from "./matmul-cases.ts";
import { trainCase } from "./train-case.ts";

/** One thing to ask of `nibblelm bench`. */
export interface Suite {
  readonly summary: string;
  /** How a size is written, and of how many numbers it may consist. */
  readonly size: string;
  readonly dimensions: readonly number[];
  readonly defaults: readonly string[];
  /** Cases by group: those of one group are timed in turns, so that their ratios hold. */
  groups(sizes: readonly (readonly number[])[], model: SourceFolder): readonly (readonly BenchCase[])[];
}

/** A new benchmark is one line here. */
export const SUITES = {
  quantize: {
    summary: "float32 to NF4, and with double quantization", size: "ELEMENTS or ROWSxCOLUMNS", dimensions: [1, 2], defaults: ["1536x576", "4096x4096"],
    groups: (sizes) => sizes.map(quantizeCases),
  },
  dequantize: {
    summary: "NF4 to float32, and from double quantization", size: "ELEMENTS or ROWSxCOLUMNS", dimensions: [1, 2], defaults: ["1536x576", "4096x4096"],
    groups: (sizes) => sizes.map(dequantizeCases),
  },
  matmul: {
    summary: "products of float32 and of NF4 matrices", size: "ROWSxOUTxIN", dimensions: [3], defaults: [],
    groups: matmulGroups,
  },
  train: {
    summary: "steps of QLoRA: all linears, rank 16", size: "BATCHxLENGTH", dimensions: [2], defaults: ["4x256"],
    groups: (sizes, model) => sizes.map(([batch, length]) => [trainCase(model, batch, length)]),
  },
  generate: {
    summary: "tokens one after the other from an NF4 model", size: "TOKENS", dimensions: [1], defaults: ["32"],
    groups: (sizes, model) => sizes.map(([tokens]) => [generateCase(model, tokens)]),
  },
} as const satisfies Record<string, Suite>;

export type SuiteName = keyof typeof SUITES;

export const SUITE_NAMES = Object.keys(SUITES) as SuiteName[];

/** @throws ShapeError */
export function parseSize(name: SuiteName, text: string): number[] {
  const { size, dimensions }: Suite = SUITES[name];
  return parseNumbers(name, size, dimensions, text);
}

/** @param size how it is written. @throws ShapeError */
export function parseNumbers(name: string, size: string, dimensions: readonly number[], text: string): number[] {
  const numbers = text.trim().split(/[x×]/).map((part) => (/^[1-9]\d*$/.test(part) ? Number(part) : NaN));
  if (!dimensions.includes(numbers.length) || !numbers.every(Number.isSafeInteger)) {
    throw new ShapeError(`bench ${name}`, "size", { expected: `${size}, whole numbers of at least 1`, got: JSON.stringify(text) });
  }
  return numbers;
}
