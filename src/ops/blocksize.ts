import { ShapeError } from "../errors.ts";

export const BLOCKSIZES_4BIT: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** @throws ShapeError */
export function checkBlocksize4bit(where: string, blocksize: number): void {
  if (!BLOCKSIZES_4BIT.includes(blocksize)) throw new ShapeError(where, "blocksize", { expected: `one of ${BLOCKSIZES_4BIT.join(", ")}`, got: blocksize });
}
