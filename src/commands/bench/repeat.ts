import type { Device } from "../../device.ts";
import { ShapeError } from "../../errors.ts";
import { Meter } from "./meter.ts";
import { dequantizeCases, quantizeCases } from "./quantize-cases.ts";
import { parseSize } from "./suites.ts";

export interface RepeatOptions {
  /** A case of `bench quantize` or `bench dequantize`: `quantize-nf4`, `quantize-nf4-dq`, `dequantize-nf4`, `dequantize-nf4-dq`. */
  readonly op: string;
  /** `ELEMENTS` or `ROWSxCOLUMNS` */
  readonly size: string;
  readonly times: number;
  readonly device: Device;
}

/**
 * Does what `bench` times, so many times, and looks at no clock: for runtimes whose clocks stand still while they compute,
 * to be timed from outside. @returns elements of one time. @throws ShapeError for an unknown case or size
 */
export async function repeatCase({ op, size, times, device }: RepeatOptions): Promise<number> {
  const numbers = parseSize("quantize", size);
  const cases = [...quantizeCases(numbers), ...dequantizeCases(numbers)];
  const chosen = cases.find((item) => item.op === op);
  if (!chosen) throw new ShapeError("bench", "op", { expected: cases.map((item) => item.op).join(", "), got: op });
  if (!Number.isInteger(times) || times < 0) throw new ShapeError("bench", "times", { expected: "a whole number of at least 0", got: times });
  const meter = new Meter(device, { total: Infinity, used: 0 });
  try {
    const timed = await chosen.prepare(meter);
    await timed.run(times);
    return chosen.elements!;
  } finally {
    await meter.dispose();
  }
}
