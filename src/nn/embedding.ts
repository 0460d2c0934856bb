import type { Device } from "../device.ts";
import type { Tensor } from "../tensor.ts";
import { lookUp, type Weight } from "./weight.ts";

/**
 * An embedding that is not on the device: a batch needs a few of its rows, so they come from wherever it lies, like the
 * ids themselves. Pages would bring all of it, for the same bits.
 */
export interface RowSource {
  readonly kind: "rows";
  /** f32[ids, hidden] */
  rows(ids: Int32Array): Promise<Float32Array>;
}

/** [vocab, hidden] */
export type Embedding = Weight | RowSource;

/** y[ids, hidden] = the rows that `ids` names; `idTensor` holds the same ids. */
export async function embed(device: Device, table: Embedding, ids: Int32Array, idTensor: Tensor, y: Tensor): Promise<void> {
  if (table.kind === "rows") device.write(y, await table.rows(ids));
  else lookUp(device, table, idTensor, y, ids.length);
}
