import { FormatError } from "../errors.ts";
import type { DenseTensor } from "../format/checkpoint.ts";
import { readFloats } from "../format/read-floats.ts";
import type { RowSource } from "../nn/embedding.ts";
import { checksum } from "../pager/page.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Rows of an embedding, read from its file as they are needed, each time against the checksum of the first time. */
export class EmbeddingRows implements RowSource {
  readonly kind = "rows";
  readonly #width: number;
  readonly #source: DenseTensor;
  readonly #kept: (row: number) => Bytes | undefined;
  readonly #checksums = new Map<number, number>();

  /** @param kept a row's bytes in float32 if host memory has them anyway. */
  constructor(source: DenseTensor, kept: (row: number) => Bytes | undefined) {
    this.#source = source;
    this.#kept = kept;
    this.#width = source.shape[1];
  }

  async rows(ids: Int32Array): Promise<Float32Array> {
    const width = this.#width;
    const all = new Float32Array(ids.length * width);
    const distinct = new Map<number, number>(); // id → place of its first
    ids.forEach((id, i) => { if (!distinct.has(id)) distinct.set(id, i); });
    const bytesAt = (place: number): Bytes => new Uint8Array(all.buffer, 4 * width * place, 4 * width);
    await Promise.all([...distinct].map(([id, place]) => this.#read(id, bytesAt(place))));
    ids.forEach((id, i) => {
      const first = distinct.get(id)!;
      if (first !== i) all.copyWithin(i * width, first * width, (first + 1) * width);
    });
    return all;
  }

  async #read(id: number, into: Bytes): Promise<void> {
    const kept = this.#kept(id);
    if (kept) return into.set(kept);
    await readFloats(this.#source, id * this.#width, (id + 1) * this.#width, into);
    const sum = checksum(into);
    const known = this.#checksums.get(id);
    if (known === undefined) this.#checksums.set(id, sum);
    else if (sum !== known) {
      throw new FormatError(`${this.#source.name}: row ${id}`, "checksum of a row that was read again", { expected: known, got: sum, hint: "the model's file has changed while it was in use" });
    }
  }
}
