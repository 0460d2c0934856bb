import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { HostTier } from "./host-tier.ts";
import { PIECE, readInto } from "./pieces.ts";

/**
 * Pages of f32 that the device writes: each lies on the host, in memory or in a file, while it is in no frame, and goes
 * both ways. All have one size; a tensor shorter than that is the beginning of its page. What was never saved is 0.
 */
export class DirtyPages {
  readonly #tier: HostTier;
  readonly #elements: number;
  readonly #inMemory: number;
  readonly #at: number; // first byte in the file
  readonly #kept: Float32Array<ArrayBuffer>[] = [];
  readonly #saved: (Promise<void> | undefined)[] = [];
  /** Copied into frames, and back. */
  bytesUp = 0;
  bytesDown = 0;

  constructor(tier: HostTier, count: number, elements: number) {
    this.#tier = tier;
    this.#elements = elements;
    const { inMemory, at } = tier.place(count, 4 * elements);
    this.#inMemory = inMemory;
    this.#at = at;
  }

  /** Reads as copies to come will, so that a GPU has its buffers for that before frames take what is left. */
  async prepare(frame: Tensor): Promise<void> {
    const { device } = this.#tier;
    const piece = viewTensor(frame, [Math.min(PIECE, this.#elements)]);
    await Promise.all([device.read(piece), device.read(piece)]);
  }

  /** Copies the tensor into the page; it must stay as it is until the answer is there. */
  save(page: number, tensor: Tensor): Promise<void> {
    const pieces: Promise<void>[] = [];
    for (const [at, n] of piecesOf(tensor)) pieces.push(this.#savePiece(page, viewTensor(tensor, [n], at), at, n));
    const done = Promise.all(pieces).then(() => undefined);
    done.catch(() => undefined); // told to whoever loads it, too
    this.bytesDown += 4 * elementsOf(tensor.shape);
    return this.#saved[page] = done;
  }

  #savePiece(page: number, tensor: Tensor, at: number, n: number): Promise<void> {
    const { device } = this.#tier;
    return this.#tier.copy(async (lane) => {
      if (page < this.#inMemory) return readInto(device, tensor, this.#page(page).subarray(at, at + n));
      const staging = HostTier.stagingOf(lane, n);
      await readInto(device, tensor, staging);
      await (await this.#tier.file()).write(this.#place(page, at), bytesOf(staging));
    });
  }

  /** Queues the copy of the page into the tensor; after a `fence` of the tier. */
  async load(page: number, tensor: Tensor): Promise<void> {
    await this.#saved[page];
    for (const [at, n] of piecesOf(tensor)) await this.#loadPiece(page, viewTensor(tensor, [n], at), at, n);
    this.bytesUp += 4 * elementsOf(tensor.shape);
  }

  async #loadPiece(page: number, tensor: Tensor, at: number, n: number): Promise<void> {
    const { device } = this.#tier;
    if (page < this.#inMemory) return device.write(tensor, this.#page(page).subarray(at, at + n));
    await this.#tier.copy(async (lane) => {
      const staging = HostTier.stagingOf(lane, n);
      await this.#fromFile(page, at, staging);
      device.write(tensor, staging);
    });
  }

  async #fromFile(page: number, at: number, into: Float32Array<ArrayBuffer>): Promise<void> {
    if (this.#saved[page]) await (await this.#tier.file()).read(this.#place(page, at), bytesOf(into));
    else into.fill(0);
  }

  /** The page for the host to see. */
  async get(page: number, into: Float32Array<ArrayBuffer>): Promise<void> {
    await this.#saved[page];
    if (page < this.#inMemory) into.set(this.#page(page).subarray(0, into.length));
    else await this.#fromFile(page, 0, into);
  }

  /** The page as the host has it. */
  async put(page: number, values: Float32Array<ArrayBuffer>): Promise<void> {
    await this.#saved[page];
    if (page < this.#inMemory) this.#page(page).set(values);
    else await (this.#saved[page] = this.#tier.file().then((file) => file.write(this.#place(page, 0), bytesOf(values))));
  }

  #page(page: number): Float32Array<ArrayBuffer> {
    return this.#kept[page] ??= new Float32Array(this.#elements);
  }

  #place(page: number, at: number): number {
    return this.#at + 4 * ((page - this.#inMemory) * this.#elements + at);
  }
}

/** Where each piece of a tensor begins, and its elements. */
function* piecesOf({ shape }: Tensor): Generator<readonly [number, number]> {
  const all = elementsOf(shape);
  for (let at = 0; at < all; at += PIECE) yield [at, Math.min(PIECE, all - at)];
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
