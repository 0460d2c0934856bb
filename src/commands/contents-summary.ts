import type { Contents } from "../format/contents.ts";

type Json = Readonly<Record<string, unknown>>;

/** The configuration in one line, as far as it is there: nothing depends on it, so nothing is refused. */
export function summaryOf({ kind, config, trainerState }: Contents): string | undefined {
  if (!config) return undefined;
  const parts = kind === "model" ? modelParts(config) : adapterParts(config);
  const at = trainerState && `after step ${text(trainerState["global_step"]) ?? "?"} of ${text(trainerState["max_steps"]) ?? "?"}`;
  return [...parts, at].filter((part) => part !== undefined).join(", ");
}

function modelParts(config: Json): (string | undefined)[] {
  const say = sayer(config);
  const rope = { ...config, ...object(config["rope_scaling"]), ...object(config["rope_parameters"]) };
  const scaling = text(rope["rope_type"] ?? rope["type"]);
  return [
    text(config["model_type"]),
    say("num_hidden_layers", (n) => `${n} layers`), say("hidden_size", (n) => `hidden ${n}`), heads(config),
    say("intermediate_size", (n) => `MLP ${n}`), say("vocab_size", (n) => `vocabulary ${n}`),
    config["tie_word_embeddings"] === true ? "tied head" : undefined,
    say("max_position_embeddings", (n) => `context ${n}`),
    sayer(rope)("rope_theta", (n) => `RoPE base ${n}${scaling && scaling !== "default" ? ` (${scaling})` : ""}`),
    say("torch_dtype", (name) => name) ?? say("dtype", (name) => name),
    quantization(object(config["quantization_config"])),
  ];
}

function heads(config: Json): string | undefined {
  const count = config["num_attention_heads"];
  if (typeof count !== "number") return undefined;
  const width = config["head_dim"] ?? Number(config["hidden_size"]) / count;
  const shared = config["num_key_value_heads"];
  return `${count} heads of ${width}${typeof shared === "number" && shared !== count ? ` (${shared} of keys and values)` : ""}`;
}

function quantization(config: Json): string | undefined {
  const method = text(config["quant_method"]);
  const type = text(config["bnb_4bit_quant_type"]);
  return method && `${method}${type ? ` ${type}` : ""}${config["bnb_4bit_use_double_quant"] === true ? " with double quantization" : ""}`;
}

function adapterParts(config: Json): (string | undefined)[] {
  const say = sayer(config);
  const { r, lora_alpha: alpha, target_modules: targets } = config;
  const scaling = Number(alpha) / (config["use_rslora"] === true ? Math.sqrt(Number(r)) : Number(r));
  return [
    config["peft_type"] === "LORA" ? "LoRA" : text(config["peft_type"]), say("r", (n) => `r ${n}`),
    say("lora_alpha", (n) => `alpha ${n}${Number.isFinite(scaling) ? ` (scaling ${Number(scaling.toPrecision(4))})` : ""}`),
    config["use_rslora"] === true ? "rsLoRA" : undefined, config["use_dora"] === true ? "DoRA" : undefined,
    config["lora_dropout"] === 0 ? undefined : say("lora_dropout", (p) => `dropout ${p}`),
    Array.isArray(targets) ? `on ${[...targets].sort().join(" ")}` : say("target_modules", (pattern) => `on ${pattern}`),
    say("base_model_name_or_path", (name) => `base ${name}`),
  ];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function sayer(config: Json): (key: string, words: (value: string) => string) => string | undefined {
  return (key, words) => {
    const value = text(config[key]);
    return value === undefined ? undefined : words(value);
  };
}
