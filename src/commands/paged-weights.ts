import type { Device } from "../device.ts";
import type { DType, TypedArray } from "../dtype.ts";
import { MemoryError } from "../errors.ts";
import type { Bnb4Tensor, DenseTensor } from "../format/checkpoint.ts";
import { readFloats } from "../format/read-floats.ts";
import type { HeadSlice } from "../nn/head.ts";
import { PagedDense, PagedWeight, ownTensors, type QuantizedWeight } from "../nn/weight.ts";
import { Page, type PageSource } from "../pager/page.ts";
import { Pager, type PagingOptions } from "../pager/pager.ts";
import { bytesOfTensor, elementsOf, type Tensor } from "../tensor.ts";
import { EmbeddingRows } from "./embedding-rows.ts";

/** Makes pages of a model's weights: one of the 4-bit linears of each layer, and of the head one a slice of rows. Tables that are the same for all stay on the device, once. */
export class PagedWeights {
  readonly #device: Device;
  readonly #name: string;
  readonly #options: PagingOptions;
  readonly #pages: Page[] = [];
  readonly #tables = new Map<string, Tensor>();
  #parts: PageSource[] = [];
  #cannotReread = false;
  #hostBytes = 0;
  #pager: Pager | undefined;

  constructor(device: Device, name: string, options: PagingOptions) {
    this.#device = device;
    this.#name = name;
    this.#options = options;
  }

  /** A weight that is read from its file each time its page comes in. */
  stored(source: Bnb4Tensor): PagedWeight {
    const { state, name, shape, nestedAbsmax, nestedQuantMap } = source;
    const n = elementsOf(shape);
    const blocks = Math.ceil(n / state.blocksize);
    const first = this.#parts.length;
    this.#add("u8", Math.ceil(n / 2), name, async (into) => put(await source.packed(0, into.length, into), into));
    this.#add(state.nested ? "u8" : "f32", blocks, `${name}.absmax`, async (into) => put(await source.absmax(into), into));
    if (nestedAbsmax) this.#add("f32", nestedAbsmax.length, `${name}.nested_absmax`, (into) => put(nestedAbsmax, into));
    const code = this.#table(source.quantMap, "quant_map");
    return this.#weight(first, {
      out: shape[0], in: shape[1], code, nestedCode: nestedQuantMap ? this.#table(nestedQuantMap, "nested_quant_map") : code,
      blocksize: state.blocksize, nested: state.nested !== undefined, nestedOffset: state.nested?.offset ?? 0,
    });
  }

  /** A weight that was quantized just now: no file has it, so it moves to host memory. @throws MemoryError */
  async made(weight: QuantizedWeight): Promise<PagedWeight> {
    const { packed, absmax, nestedAbsmax, nested } = weight;
    const hint = "write the 4-bit model once with `nibblelm quantize`: its pages can be read again";
    if (this.#device.kind === "wasm" && !this.#options.hostMemory) throw new MemoryError(this.#name, "no room for all layers, which are being quantized", { expected: "pages that a file can give again", got: "a base that no file has in 4 bits", hint });
    const first = this.#parts.length;
    for (const tensor of nested ? [packed, absmax, nestedAbsmax] : [packed, absmax]) {
      const bytes = await this.#device.read(tensor);
      this.#hostBytes += bytesOfTensor(tensor);
      this.#add(tensor.dtype, elementsOf(tensor.shape), tensor.label, (into) => put(bytes, into));
    }
    const { hostMemory = Infinity } = this.#options;
    if (this.#hostBytes > hostMemory) throw new MemoryError(this.#name, "host memory for layers that were quantized", { expected: `at most ${hostMemory} bytes`, got: "more", hint });
    this.#cannotReread = true;
    const tables = { code: await this.#device.read(weight.code), nestedCode: await this.#device.read(weight.nestedCode) };
    for (const tensor of new Set(ownTensors(weight))) this.#device.free(tensor);
    const code = this.#table(tables.code as Float32Array, "quant_map");
    return this.#weight(first, { ...weight, code, nestedCode: nested ? this.#table(tables.nestedCode as Float32Array, "nested_quant_map") : code });
  }

  #add(dtype: DType, elements: number, label: string, read: PageSource["read"]): void {
    this.#parts.push({ dtype, elements, label, read });
  }

  #weight(first: number, constants: Omit<QuantizedWeight, "packed" | "absmax" | "nestedAbsmax" | "kind">): PagedWeight {
    const page = this.#pages.length;
    const order = { packed: first, absmax: first + 1, nestedAbsmax: first + 2 };
    return new PagedWeight(constants, (table) => this.#pager!.tensor(page, order[table]));
  }

  #table(values: Float32Array, label: string): Tensor {
    const key = String(values);
    let table = this.#tables.get(key);
    if (!table) {
      table = this.#device.allocate("f32", [values.length], label);
      this.#device.write(table, values);
      this.#tables.set(key, table);
    }
    return table;
  }

  async endLayer(name: string): Promise<void> {
    const page = new Page(`${this.#name}: ${name}`, this.#parts);
    if (this.#cannotReread) await page.keep();
    this.#pages.push(page);
    this.#parts = [];
  }

  /** Whether layers are in 4 bits: without, there is nothing to page. */
  get any(): boolean {
    return this.#pages.some(({ bytes }) => bytes > 0);
  }

  /** A head of which `rows` rows are a page; after the last layer. */
  head(source: DenseTensor, rows: number): HeadSlice[] {
    const [vocab, width] = source.shape;
    return Array.from({ length: Math.ceil(vocab / rows) }, (_, i) => {
      const first = i * rows;
      const out = Math.min(rows, vocab - first);
      const read = async (into: Uint8Array<ArrayBuffer>): Promise<void> => void (await readFloats(source, first * width, (first + out) * width, into));
      const page = this.#pages.push(new Page(`${this.#name}: ${source.name} from row ${first}`, [{ dtype: "f32", elements: out * width, label: source.name, read }], "head")) - 1;
      return { page, first, weight: new PagedDense(out, width, () => this.#pager!.tensor(page, 0)) };
    });
  }

  /** Rows of an embedding; if it is also the head, from the head's pages where these are kept in host memory. */
  embedding(source: DenseTensor, head?: readonly HeadSlice[]): EmbeddingRows {
    const bytes = 4 * source.shape[1];
    return new EmbeddingRows(source, (row) => {
      const slice = head?.[Math.floor(row / head[0].weight.out)];
      return slice && this.#pager!.kept(slice.page)?.subarray((row - slice.first) * bytes, (row - slice.first + 1) * bytes);
    });
  }

  /** Undefined when there is nothing in 4 bits. On the CPU linear memory is the host tier, and files come right below, unless host memory beside it is asked for. */
  pager(): Pager | undefined {
    if (!this.any) return undefined;
    const { hostMemory = this.#device.kind === "wasm" ? 0 : Infinity } = this.#options;
    return this.#pager = new Pager(this.#device, this.#pages, { ...this.#options, hostMemory });
  }
}

function put(values: TypedArray, into: Uint8Array<ArrayBuffer>): void {
  if (values.buffer !== into.buffer) into.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}
