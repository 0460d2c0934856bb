import type { AdapterConfig } from "./adapter-config.ts";

/** README.md of an adapter folder: the front matter that the Hub reads, and what a person needs to use it. */
export function adapterCard(config: AdapterConfig, facts: Readonly<Record<string, string>>): string {
  const base = config.baseModel ?? "the base model";
  const targets = typeof config.targetModules === "string" ? config.targetModules : config.targetModules.join(", ");
  const rows: [string, string | number][] = [
    ["r", config.r], ["alpha", config.loraAlpha], ["dropout", config.loraDropout],
    ["scaling", config.useRslora ? "alpha / √r" : "alpha / r"], ["modules", targets], ...Object.entries(facts),
  ];
  return `---
${config.baseModel ? `base_model: ${JSON.stringify(config.baseModel)}\n` : ""}library_name: peft
pipeline_tag: text-generation
tags:
- lora
- nibblelm
---

# LoRA adapter

Trained with NibbleLM over a frozen 4-bit base. PEFT loads it too.

|  |  |
|---|---|
${rows.map(([label, value]) => `| ${label} | ${value} |`).join("\n")}

\`\`\`sh
nibblelm generate --model ${/\s/.test(base) ? JSON.stringify(base) : base} --adapter . -p "…"
\`\`\`
`;
}
