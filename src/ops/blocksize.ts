import { ShapeError } from "../errors.ts";

/** Powers of two, so that a block never begins inside a byte or a tile. */
export const BLOCKSIZES: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** @throws ShapeError */
export function checkBlocksize(where: string, blocksize: number): void {
  if (!BLOCKSIZES.includes(blocksize)) throw new ShapeError(where, "blocksize", { expected: `one of ${BLOCKSIZES.join(", ")}`, got: blocksize });
}
