import relaxed from "../../dist/wasm/relaxed.wasm";
import simd from "../../dist/wasm/simd.wasm";
import type { KernelBuilds } from "../wasm/kernels.ts";

/** `#kernels` of package.json: bytes, or modules in runtimes that compile no bytes, where build.mjs makes them so. */
export const kernels: KernelBuilds = { simd, relaxed };
