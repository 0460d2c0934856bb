import quant from "../../dist/wasm/quant.wasm";
import type { KernelBuilds } from "../wasm/kernels.ts";

/** `#quant-kernels`: the simd build with the quantization kernels alone. They are exact, so there is no relaxed twin. */
export const kernels: KernelBuilds = { simd: quant };
