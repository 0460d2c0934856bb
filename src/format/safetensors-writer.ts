import { ShapeError } from "../errors.ts";
import type { ByteSink } from "../io/types.ts";
import { bytesOfSpec, DEFAULT_METADATA, encodeHeader, sortSpecs, type TensorSpec } from "./safetensors-header.ts";

/** A U8 vector whose length is known only at the end, and never above `maxBytes`. */
export interface LateTensor {
  readonly name: string;
  readonly maxBytes: number;
}

/**
 * A file written tensor by tensor, in any order and in pieces.
 *
 * Tensors have the format's order, except the late ones: the JSON of a quant_state holds the digits of the mean of all
 * absmax, so its length is known when its tensor has been quantized, and whatever followed it would have to move. So late
 * tensors come last, the header is given the room of their largest sizes, and what it leaves is spaces, as always.
 * Readers sort by offset, so any order is valid.
 */
export class SafetensorsWriter {
  readonly #sink: ByteSink;
  readonly #specs: readonly TensorSpec[];
  readonly #late: readonly LateTensor[];
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #dataStart: number;
  readonly #offsets = new Map<string, { offset: number; bytes: number }>();
  readonly #lateData = new Map<string, Uint8Array>();
  #end: number;

  constructor(sink: ByteSink, specs: readonly TensorSpec[], late: readonly LateTensor[] = [], metadata: Readonly<Record<string, string>> = DEFAULT_METADATA) {
    this.#sink = sink;
    this.#specs = sortSpecs(specs);
    this.#late = [...late].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#metadata = metadata;
    const largest = this.#late.map(({ name, maxBytes }) => ({ name, dtype: "U8" as const, shape: [maxBytes] }));
    this.#dataStart = encodeHeader([...this.#specs, ...largest], metadata).length;
    this.#end = this.#dataStart;
    for (const spec of this.#specs) {
      const bytes = bytesOfSpec(spec);
      this.#offsets.set(spec.name, { offset: this.#end, bytes });
      this.#end += bytes;
    }
  }

  /** Bytes of the file so far, late tensors included once they are written. */
  get size(): number {
    return this.#end;
  }

  /** @throws ShapeError when the bytes leave the tensor. */
  async write(name: string, offset: number, bytes: Uint8Array): Promise<void> {
    const place = this.#offsets.get(name);
    if (!place || offset < 0 || offset + bytes.length > place.bytes) {
      throw new ShapeError(this.#sink.name, `write to ${name}`, { expected: place ? `within ${place.bytes} bytes` : "a tensor of this file", got: offset + bytes.length });
    }
    await this.#sink.write(place.offset + offset, bytes);
  }

  writeLate(name: string, bytes: Uint8Array): void {
    const spec = this.#late.find((late) => late.name === name);
    if (!spec || bytes.length > spec.maxBytes) throw new ShapeError(this.#sink.name, `write to ${name}`, { expected: `at most ${spec?.maxBytes ?? 0} bytes`, got: bytes.length });
    this.#lateData.set(name, bytes);
  }

  /** Writes the late tensors and the header, then closes the sink. */
  async finish(): Promise<void> {
    const late = this.#late.map(({ name }) => ({ name, dtype: "U8" as const, shape: [this.#lateData.get(name)?.length ?? 0] }));
    for (const { name } of late) {
      const data = this.#lateData.get(name) ?? new Uint8Array();
      await this.#sink.write(this.#end, data);
      this.#end += data.length;
    }
    await this.#sink.write(0, encodeHeader([...this.#specs, ...late], this.#metadata, this.#dataStart));
    await this.#sink.close();
  }
}
