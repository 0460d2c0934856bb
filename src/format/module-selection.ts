import { ShapeError } from "../errors.ts";
import type { AdapterConfig } from "./adapter-config.ts";

/** What the adapter of one module is. */
export interface LoraSettings {
  readonly r: number;
  readonly alpha: number;
  /** alpha / r, or alpha / √r with rsLoRA. */
  readonly scaling: number;
}

/**
 * Which of a model's linears the config adapts, and how: PEFT's rules, quirks included.
 * Source: src/peft/tuners/tuners_utils.py (check_target_module_exists), utils/other.py (get_pattern_key).
 * @param modulePaths all linears: `model.layers.0.self_attn.q_proj`…; `all-linear` leaves out `lm_head`.
 * @returns in the order of `modulePaths`.
 * @throws ShapeError when nothing is selected, or a regular expression is none.
 */
export function selectModules(config: AdapterConfig, modulePaths: Iterable<string>): Map<string, LoraSettings> {
  const paths = [...modulePaths];
  const isTarget = targetTest(config);
  const isExcluded = nameTest(config.excludeModules, "exclude_modules");
  const selected = new Map<string, LoraSettings>();
  for (const path of paths) if (!isExcluded(path) && isTarget(path)) selected.set(path, settingsOf(config, path));
  if (!selected.size) {
    const got = typeof config.targetModules === "string" ? config.targetModules : config.targetModules.join(", ");
    throw new ShapeError("adapter", "target_modules", { expected: `something that matches one of ${paths.length} modules such as ${paths.at(-1)}`, got });
  }
  return selected;
}

function settingsOf(config: AdapterConfig, path: string): LoraSettings {
  const r = patternValue(config.rankPattern, path, "rank_pattern") ?? config.r;
  const alpha = patternValue(config.alphaPattern, path, "alpha_pattern") ?? config.loraAlpha;
  return { r, alpha, scaling: config.useRslora ? alpha / Math.sqrt(r) : alpha / r };
}

function patternValue(pattern: Readonly<Record<string, number>>, path: string, name: string): number | undefined {
  const key = Object.keys(pattern).find((k) => pythonRegExp(`(.*\\.)?(${k})$`, name, k).test(path));
  return key === undefined ? undefined : pattern[key];
}

type Test = (path: string) => boolean;

function targetTest({ targetModules, layersToTransform, layersPattern }: AdapterConfig): Test {
  if (typeof targetModules === "string") {
    if (layersToTransform ?? layersPattern) throw new ShapeError("adapter", "layers_to_transform", { expected: "a list of target_modules beside it", got: targetModules, hint: "name the layers in the regular expression instead" });
    if (targetModules.toLowerCase() === "all-linear") return (path) => !/(^|\.)lm_head$/.test(path);
    return nameTest(targetModules, "target_modules");
  }
  const named = nameTest(targetModules, "target_modules");
  if (!layersToTransform?.length) return named;
  const patterns = (layersPattern?.length ? layersPattern : ["[^.]*"]).map((p) => pythonRegExp(`.*?\\.${p}\\.(\\d+)\\.`, "layers_pattern", p));
  // A whole path in the list is adapted in whatever layer it is.
  return (path) => targetModules.includes(path) || (named(path) && layersToTransform.includes(layerOf(path, patterns)));
}

function layerOf(path: string, patterns: readonly RegExp[]): number {
  for (const pattern of patterns) {
    const match = pattern.exec(path);
    if (match) return Number(match[1]);
  }
  return -1;
}

/** A string is a regular expression for the whole path; a list has paths or their last components. */
function nameTest(names: readonly string[] | string | undefined, option: string): Test {
  if (names === undefined) return () => false;
  if (typeof names === "string") {
    const pattern = pythonRegExp(`(?:${names})$`, option, names);
    return (path) => pattern.test(path);
  }
  return (path) => names.some((name) => path === name || path.endsWith(`.${name}`));
}

/** Anchored at the start, as Python's `re.match`; the few spellings that differ are translated. */
function pythonRegExp(source: string, option: string, shown: string): RegExp {
  const translated = source.replace(/\(\?P</g, "(?<").replace(/\(\?P=(\w+)\)/g, "\\k<$1>").replace(/\\Z/g, "$").replace(/\\A/g, "^");
  try {
    return new RegExp(`^(?:${translated})`);
  } catch (cause) {
    throw new ShapeError("adapter", option, { expected: "a regular expression", got: shown, cause });
  }
}
