import type { Device } from "../device.ts";
import { embedding } from "../ops/index.ts";
import type { Tensor } from "../tensor.ts";

/**
 * An embedding that is not on the device: a batch needs a few of its rows, so they come from wherever it lies, like the
 * ids themselves. Pages would bring all of it, for the same bits.
 */
export interface RowSource {
  readonly width: number;
  /** f32[ids, width] */
  rows(ids: Int32Array): Promise<Float32Array>;
}

export type Embedding = Tensor | RowSource; // f32[vocab, hidden] when it is on the device

export function isTable(table: Embedding): table is Tensor {
  return "buffer" in table;
}

/** y[ids, hidden] = the rows that `ids` names; `idTensor` holds the same ids. */
export async function lookUp(device: Device, table: Embedding, ids: Int32Array, idTensor: Tensor, y: Tensor): Promise<void> {
  if (!isTable(table)) return device.write(y, await table.rows(ids));
  const [vocab, n] = table.shape;
  device.run(embedding, { ids: idTensor, table, y }, { rows: ids.length, vocab, n, first: 0 });
}
