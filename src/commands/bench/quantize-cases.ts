import type { Device } from "../../device.ts";
import { codeTable, dynamicTable } from "../../format/code-tables.ts";
import { NESTED_BLOCKSIZE } from "../../format/quant-state.ts";
import { dequantize4bit } from "../../ops/index.ts";
import { nestedOffsetOf } from "../../quant/nested-offset.ts";
import { Quantizer } from "../../quant/quantizer.ts";
import type { Tensor } from "../../tensor.ts";
import type { BenchCase } from "./bench-case.ts";
import { sample } from "./op-case.ts";
import type { Timed } from "./timing.ts";

const BLOCKSIZE = 64;

interface Place {
  readonly packed: Tensor; // u8[ceil(n / 2)]
  readonly absmax: Tensor; // f32[blocks]
  readonly q: Tensor; // u8[blocks]
  readonly nested: Tensor; // f32[ceil(blocks / 256)]
  readonly blocks: number;
}

function allocate(device: Device, n: number): Place {
  const blocks = Math.ceil(n / BLOCKSIZE);
  return {
    packed: device.allocate("u8", [Math.ceil(n / 2)], "packed"), absmax: device.allocate("f32", [blocks], "absmax"),
    q: device.allocate("u8", [blocks], "absmax in 8 bits"), nested: device.allocate("f32", [Math.ceil(blocks / NESTED_BLOCKSIZE)], "nested absmax"), blocks,
  };
}

const elementsOfSize = (size: readonly number[]): number => size.reduce((product, n) => product * n, 1);

/** Plain blocks, and double quantization on top as commands do it: with the mean of the constants taken on the host. */
export function quantizeCases(size: readonly number[]): BenchCase[] {
  const n = elementsOfSize(size);
  const common = { shape: size.join("x"), elements: n, limit: "copy" as const };
  return [
    { ...common, op: "quantize-nf4", prepare: (device) => timedQuantize(device, n, false) },
    { ...common, op: "quantize-nf4-dq", prepare: (device) => timedQuantize(device, n, true) },
  ];
}

async function timedQuantize(device: Device, n: number, double: boolean): Promise<Timed> {
  const x = device.allocate("f32", [n], "values");
  const { packed, absmax, q, nested, blocks } = allocate(device, n);
  device.write(x, sample("f32", n, "values"));
  const quantizer = new Quantizer(device, "nf4", BLOCKSIZE);
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        quantizer.quantize(x, packed, absmax, n);
        if (double) quantizer.nest(absmax, q, nested, blocks, nestedOffsetOf((await device.read(absmax)) as Float32Array));
      }
      await device.finish();
    },
  };
}

export function dequantizeCases(size: readonly number[]): BenchCase[] {
  const n = elementsOfSize(size);
  const common = { shape: size.join("x"), elements: n, limit: "fill" as const };
  return [
    { ...common, op: "dequantize-nf4", prepare: (device) => timedDequantize(device, n, false) },
    { ...common, op: "dequantize-nf4-dq", prepare: (device) => timedDequantize(device, n, true) },
  ];
}

async function timedDequantize(device: Device, n: number, double: boolean): Promise<Timed> {
  const { packed, absmax, q, nested, blocks } = allocate(device, n);
  const code = device.allocate("f32", [16], "code");
  const nestedCode = device.allocate("f32", [256], "nested code");
  const y = device.allocate("f32", [n], "values");
  device.write(packed, sample("u8", Math.ceil(n / 2), "packed"));
  device.write(absmax, sample("f32", blocks, "absmax"));
  device.write(q, sample("u8", blocks, "absmax"));
  device.write(nested, sample("f32", Math.ceil(blocks / NESTED_BLOCKSIZE), "absmax"));
  device.write(code, codeTable("nf4"));
  device.write(nestedCode, dynamicTable());
  const operands = { packed, absmax: double ? q : absmax, code, nestedAbsmax: nested, nestedCode, y };
  return {
    run(times) {
      for (let i = 0; i < times; i++) device.run(dequantize4bit, operands, { n, blocksize: BLOCKSIZE, nested: double ? 1 : 0, nestedOffset: 0.5, round: 0 });
      return device.finish();
    },
  };
}
