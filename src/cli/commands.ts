import type { Command } from "./command.ts";

interface Entry {
  readonly summary: string;
  /** Loaded when it is called, so that `--version` and `--help` are quick. */
  readonly load: () => Promise<{ readonly command: Command }>;
}

export const COMMANDS = {
  demo: { summary: "quantize, train and generate with the small model inside the package", load: () => import("./demo.ts") },
  quantize: { summary: "write a model in 4 bits (NF4 or FP4)", load: () => import("./quantize.ts") },
  train: { summary: "fine-tune a LoRA adapter over a frozen 4-bit model", load: () => import("./train.ts") },
  eval: { summary: "measure loss and perplexity on a text", load: () => import("./eval.ts") },
  generate: { summary: "continue a text, or answer a message", load: () => import("./generate.ts") },
  merge: { summary: "write a model with an adapter in its weights", load: () => import("./merge.ts") },
  inspect: { summary: "what lies in a model, an adapter or a file, and what fewer bits would cost", load: () => import("./inspect.ts") },
  playground: { summary: "a page where you fine-tune a model in a browser tab", load: () => import("./playground.ts") },
  bench: { summary: "measure this machine, and how near to its limits the engine comes", load: () => import("./bench.ts") },
  doctor: { summary: "what this machine can do, and whether the kernels work on it", load: () => import("./doctor.ts") },
} as const satisfies Record<string, Entry>;

export function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name);
}
