import { FormatError } from "../errors.ts";

export interface BnbConfig {
  readonly quantType: "nf4" | "fp4";
  readonly doubleQuant: boolean;
  /** Modules left as they are, instead of the default, which is the output head. */
  readonly skipModules?: readonly string[];
}

/** `quantization_config` of config.json, as Transformers writes it for bitsandbytes in 4 bits. */
export function quantizationConfig({ quantType, doubleQuant, skipModules }: BnbConfig): Record<string, unknown> {
  return {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: "float32",
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: quantType,
    bnb_4bit_use_double_quant: doubleQuant,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: skipModules ?? null,
    llm_int8_threshold: 6,
    load_in_4bit: true,
    load_in_8bit: false,
    quant_method: "bitsandbytes",
  };
}

const HINT = "start from the original model in float32, float16 or bfloat16";

/**
 * @param config the whole config.json.
 * @throws FormatError naming a quantization that is not bitsandbytes' in 4 bits.
 */
export function checkQuantizationConfig(config: Record<string, unknown>, where: string): void {
  const quantization = config["quantization_config"];
  if (quantization === undefined || quantization === null) return;
  if (typeof quantization !== "object" || Array.isArray(quantization)) throw new FormatError(where, "quantization_config", { expected: "an object", got: JSON.stringify(quantization) });
  const { quant_method, load_in_4bit, _load_in_4bit, load_in_8bit, _load_in_8bit } = quantization as Record<string, unknown>;
  const method = quant_method ?? (load_in_4bit || load_in_8bit ? "bitsandbytes" : undefined);
  if (method !== "bitsandbytes") throw new FormatError(where, "quantization", { expected: "bitsandbytes in 4 bits, or none", got: method ?? "nothing", hint: HINT });
  if (load_in_8bit || _load_in_8bit) throw new FormatError(where, "quantization", { expected: "bitsandbytes in 4 bits, or none", got: "bitsandbytes in 8 bits (LLM.int8)", hint: HINT });
  if (!(load_in_4bit ?? _load_in_4bit)) throw new FormatError(where, "quantization_config", { expected: "load_in_4bit", got: "neither 4 nor 8 bits" });
}
