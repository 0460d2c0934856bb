import { instantiate, instantiateSync } from "@assemblyscript/loader";
import relaxedSharedBytes from "../../dist/wasm/relaxed-shared.wasm";
import relaxedBytes from "../../dist/wasm/relaxed.wasm";
import simdSharedBytes from "../../dist/wasm/simd-shared.wasm";
import simdBytes from "../../dist/wasm/simd.wasm";
import { DeviceError, KernelError } from "../errors.ts";
import { exportName, type Op } from "../op.ts";

/** Pointers in operand order, params in order, first tile, end tile, scratch pointer. */
export type Kernel = (...args: number[]) => void;

export type WasmBuild = "simd" | "relaxed";

export function isWasmBuild(build: string): build is WasmBuild {
  return build === "simd" || build === "relaxed";
}

/** Bytes, a compiled module (edge runtimes refuse bytes), or nothing for the ones inside the package. */
export type WasmSource = BufferSource | WebAssembly.Module;

// (module (func (result v128) (f32x4.relaxed_madd …))): engines without relaxed SIMD refuse it.
const RELAXED_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 1, 253, 15, 65, 2, 253, 15, 65, 3, 253, 15, 253, 133, 2, 11,
]);

/** The fastest build that this engine accepts. */
export function pickBuild(): WasmBuild {
  return WebAssembly.validate(RELAXED_PROBE) ? "relaxed" : "simd";
}

export function builtin(build: WasmBuild, shared: boolean): Uint8Array<ArrayBuffer> {
  if (shared) return build === "relaxed" ? relaxedSharedBytes : simdSharedBytes;
  return build === "relaxed" ? relaxedBytes : simdBytes;
}

interface Exports { heapBase(): number; [name: string]: unknown }

export class Kernels {
  readonly #exports: Exports;
  readonly heapBase: number;

  private constructor(exports: Exports) {
    this.#exports = exports;
    this.heapBase = exports.heapBase() >>> 0;
  }

  static compile(source: BufferSource): Promise<WebAssembly.Module> {
    return guard(() => WebAssembly.compile(source));
  }

  static async instantiate(source: WasmSource, memory: WebAssembly.Memory): Promise<Kernels> {
    return new Kernels((await guard(() => instantiate(source, { env: { memory } }))).exports as unknown as Exports);
  }

  static instantiateSync(source: WasmSource, memory: WebAssembly.Memory): Kernels {
    try {
      return new Kernels(instantiateSync(source, { env: { memory } }).exports as unknown as Exports);
    } catch (cause) {
      throw refused(cause);
    }
  }

  /** @throws KernelError when the build lacks the kernel of this op. */
  of(op: Op): { name: string; run: Kernel } {
    const name = exportName(op.name);
    const kernel = this.#exports[name];
    if (typeof kernel !== "function") throw new KernelError(`assembly/${op.name}.ts`, "missing export", { expected: name, got: typeof kernel });
    return { name, run: kernel as Kernel };
  }
}

async function guard<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw refused(cause);
  }
}

function refused(cause: unknown): DeviceError {
  return new DeviceError("wasm", "the engine refused the kernels", {
    expected: "WebAssembly with SIMD", got: cause instanceof Error ? cause.message : cause,
    hint: "Node 20 or newer, Deno, Bun or a browser of 2023 or newer is needed; runtimes that compile no bytes take a WebAssembly.Module",
    cause,
  });
}
