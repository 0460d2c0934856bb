/** A float as Python's `repr` writes it, which is what the Hugging Face files contain: `1.0`, `3e-05`, `1e+16`. */
export function pythonFloat(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "Infinity" : "-Infinity";
  if (x === 0) return Object.is(x, -0) ? "-0.0" : "0.0";
  // The same shortest digits as in Python; only where the exponent form begins differs.
  const [mantissa, exponent] = x.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16) return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  if (power < 0) return `${x < 0 ? "-" : ""}0.${"0".repeat(-power - 1)}${mantissa.replace(/[-.]/g, "")}`;
  const text = String(x);
  return text.includes(".") ? text : `${text}.0`;
}

/** Keys of Hugging Face files whose values are floats even when they are integral; bitsandbytes' config insists. */
const FLOAT_KEYS = new Set([
  "attention_dropout", "factor", "high_freq_factor", "initializer_range", "llm_int8_threshold", "lora_dropout", "low_freq_factor",
  "nested_offset", "rms_norm_eps", "rope_theta", "temperature", "top_p",
]);

export interface PythonJsonOptions {
  /** Spaces per level; without it everything is on one line, as `json.dumps` does by default. */
  readonly indent?: number;
  readonly sortKeys?: boolean;
}

/** What `json.dumps(value, indent=…, sort_keys=…)` writes: same separators, ASCII only, floats by key. */
export function pythonJson(value: unknown, options: PythonJsonOptions = {}): string {
  return render(value, undefined, options, 0);
}

/** A JSON file as Transformers writes it. */
export function jsonFile(value: unknown): string {
  return `${pythonJson(value, { indent: 2, sortKeys: true })}\n`;
}

function render(value: unknown, key: string | undefined, options: PythonJsonOptions, depth: number): string {
  if (typeof value === "number") return Number.isInteger(value) && !FLOAT_KEYS.has(key ?? "") ? String(BigInt(value)) : pythonFloat(value);
  if (typeof value === "string") return pythonString(value);
  if (Array.isArray(value)) return wrap("[", "]", value.map((item) => render(item, key, options, depth + 1)), options, depth);
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (options.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return wrap("{", "}", entries.map(([name, item]) => `${pythonString(name)}: ${render(item, name, options, depth + 1)}`), options, depth);
}

function wrap(open: string, close: string, items: string[], { indent }: PythonJsonOptions, depth: number): string {
  if (!items.length) return open + close;
  if (indent === undefined) return open + items.join(", ") + close;
  const inner = `\n${" ".repeat(indent * (depth + 1))}`;
  return `${open}${inner}${items.join(`,${inner}`)}\n${" ".repeat(indent * depth)}${close}`;
}

function pythonString(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => (c === "\u007f" ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));
}
