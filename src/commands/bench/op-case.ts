import type { Device } from "../../device.ts";
import { bytesOf, viewOf, type DType, type TypedArray } from "../../dtype.ts";
import type { Op } from "../../op.ts";
import { elementsOf, type Tensor } from "../../tensor.ts";
import type { Timed } from "./timing.ts";

/**
 * Made-up values of an operand, the same on every call: f32 about as normal as weights are, and positive where the name
 * says so; i32 below 64, which every table has; bytes as they come.
 */
export function sample(dtype: DType, n: number, name: string): TypedArray {
  const values = viewOf(dtype, new ArrayBuffer(n * bytesOf(dtype)));
  const positive = name === "expAvgSq" || name === "rstd" || name === "absmax";
  let state = 12345;
  for (let i = 0; i < n; i++) {
    state = Math.imul(state, 1664525) + 1013904223;
    const a = (state >>> 8) & 0xff, b = (state >>> 16) & 0xff, c = state >>> 24;
    if (dtype !== "f32") values[i] = dtype === "i32" ? c & 63 : state >>> 24;
    else values[i] = positive ? 0.25 + c / 256 : (a + b + c - 382.4) / 128;
  }
  return values;
}

/** An op on made-up operands. */
export async function timedOp(device: Device, op: Op, params: Record<string, number>): Promise<Timed> {
  const tensors: Record<string, Tensor> = {};
  const resets: (() => void)[] = [];
  for (const { name, dtype: allowed, shape, access } of op.operands) {
    const dtype: DType = typeof allowed === "string" ? allowed : name === "absmax" && params["nested"] ? "u8" : allowed[0];
    const dims = shape(params);
    tensors[name] = device.allocate(dtype, dims, name);
    if (access === "out") continue;
    const values = sample(dtype, elementsOf(dims), name);
    device.write(tensors[name], values);
    if (access === "inout") resets.push(() => device.write(tensors[name], values));
  }
  await device.finish();
  return {
    reset: () => resets.forEach((reset) => reset()),
    run(times) {
      for (let i = 0; i < times; i++) device.run(op, tensors, params);
      return device.finish();
    },
  };
}
