import { instantiate, instantiateSync } from "@assemblyscript/loader";
import { DeviceError, KernelError } from "../errors.ts";
import { exportName, type Op } from "../op.ts";
import { sharedTwin } from "./shared-twin.ts";

/** Pointers in operand order, params in order, first tile, end tile, scratch pointer. */
export type Kernel = (...args: number[]) => void;

export type WasmBuild = "simd" | "relaxed";

export function isWasmBuild(build: string): build is WasmBuild {
  return build === "simd" || build === "relaxed";
}

/** Bytes, or a compiled module: edge runtimes refuse bytes. */
export type WasmSource = BufferSource | WebAssembly.Module;

/** One set of kernels, compiled for different engines. */
export interface KernelBuilds {
  readonly simd: WasmSource;
  readonly relaxed?: WasmSource;
}

// (module (func (result v128) (f32x4.relaxed_madd …))): engines without relaxed SIMD refuse it.
const RELAXED_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 1, 253, 15, 65, 2, 253, 15, 65, 3, 253, 15, 253, 133, 2, 11,
]);

/** The fastest build that this engine accepts. */
export function pickBuild(): WasmBuild {
  return WebAssembly.validate(RELAXED_PROBE) ? "relaxed" : "simd";
}

export interface ChosenKernels {
  readonly build: WasmBuild;
  readonly source: WasmSource;
}

/**
 * The build that is wanted, or the fastest there is. Of a single source nobody can tell what it is: `simd`, unless `wanted` says so.
 * @throws DeviceError when the set has no such build, or threads would need bytes.
 */
export function chooseKernels(wasm: KernelBuilds | WasmSource, wanted: WasmBuild | undefined, shared: boolean): ChosenKernels {
  const single = isSource(wasm);
  const builds: KernelBuilds = single ? { simd: wasm, relaxed: wasm } : wasm;
  const build = wanted ?? (single || !builds.relaxed ? "simd" : pickBuild());
  const source = builds[build];
  if (!source) throw new DeviceError("wasm", "no such build of the kernels here", { expected: Object.keys(wasm).join(", "), got: build });
  if (!shared) return { build, source };
  if (source instanceof WebAssembly.Module) throw new DeviceError("wasm", "kernels for threads", { expected: "bytes", got: "a WebAssembly.Module", hint: "use one thread" });
  return { build, source: sharedTwin(source) };
}

function isSource(wasm: KernelBuilds | WasmSource): wasm is WasmSource {
  return wasm instanceof WebAssembly.Module || wasm instanceof ArrayBuffer || ArrayBuffer.isView(wasm);
}

interface Exports { heapBase(): number; [name: string]: unknown }

export class Kernels {
  readonly #exports: Exports;
  readonly #found = new Map<string, { name: string; run: Kernel }>();
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
    const known = this.#found.get(op.name);
    if (known) return known;
    const name = exportName(op.name);
    const kernel = this.#exports[name];
    if (typeof kernel !== "function") throw new KernelError(`assembly/${op.name}.ts`, "missing export", { expected: name, got: typeof kernel });
    const found = { name, run: kernel as Kernel };
    this.#found.set(op.name, found);
    return found;
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
