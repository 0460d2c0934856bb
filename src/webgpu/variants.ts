import { DeviceError, ShapeError } from "../errors.ts";
import { VARIANTS, type Variant } from "../op.ts";

/** What a variant asks of an adapter. */
const FEATURES = { f16: "shader-f16", subgroups: "subgroups" } as const satisfies Record<Variant, GPUFeatureName>;

/** Name of the kernels with these variants, in a fixed order: results depend on it. */
export function buildOf(variants: readonly Variant[]): string {
  return VARIANTS.filter((variant) => variants.includes(variant)).join("+") || "f32";
}

/** The variants of a build, as a checkpoint stores it. @throws DeviceError for one that this version does not have. */
export function variantsOf(build: string): Variant[] {
  const variants = VARIANTS.filter((variant) => build.split("+").includes(variant));
  if (buildOf(variants) !== build) throw new DeviceError("webgpu", "a run with other kernels", { expected: `f32, or ${VARIANTS.join(" and ")} joined by +`, got: build, hint: "go on with the version that began it" });
  return variants;
}

/** @throws ShapeError for a wrong name. @throws DeviceError when the adapter cannot. */
export function featuresFor(variants: readonly Variant[], adapter: GPUAdapter, name: string): GPUFeatureName[] {
  return variants.map((variant) => {
    if (!VARIANTS.includes(variant)) throw new ShapeError("webgpu", "variant", { expected: VARIANTS.join(", "), got: variant });
    const feature = FEATURES[variant];
    if (!adapter.features.has(feature)) throw new DeviceError("webgpu", `the variant ${variant} on ${name}`, { expected: `the feature ${feature}`, got: "an adapter without it", hint: "leave the variant away; a run that was begun with it needs an adapter that has it" });
    return feature;
  });
}
