import { suite } from "uvu";
import * as assert from "uvu/assert";
import * as table from "../src/ops/index.ts";
import { opTests } from "./ops/index.ts";
import { testDevices } from "./support/devices.ts";
import { relativeNorm } from "./support/numbers.ts";
import { runOp, sameBits } from "./support/run-op.ts";

const devices = await testDevices({ gpu: true });

const coverage = suite("ops: table");
coverage("every op has a test", () => {
  const tested = new Set(opTests.map((t) => t.op.name));
  const missing = Object.values(table).map((op) => op.name).filter((name) => !tested.has(name));
  assert.equal(missing, []);
});
coverage.run();

for (const test of opTests) {
  const { op, reference } = test;
  for (const device of devices.filter((d) => d.kind !== "reference" && op.devices.includes(d.kind))) {
    const name = `${op.name} on ${device.description}`;
    const here = suite(name);
    for (const item of test.cases) {
      here(item.name, async () => {
        const first = await runOp(device, test, item);
        const second = await runOp(device, test, item);
        const expected = reference(structuredClone(item.inputs), item.params);
        for (const [operand, actual] of Object.entries(first)) {
          assert.ok(sameBits(actual, second[operand]), `${operand}: two runs differ`);
          const want = expected[operand];
          assert.is(want?.length, actual.length, `${operand}: length of the reference`);
          if (op.agreement === "bits") expectBits(operand, actual, want);
          else expectClose(operand, actual, want, op.agreement);
        }
      });
    }
    here.run();
  }
  if (test.gradients) {
    const gradients = suite(`${op.name}: gradients`);
    gradients("central differences in f64", () => {
      for (const { name, analytic, numeric } of test.gradients!()) {
        const error = relativeNorm(analytic, numeric);
        assert.ok(error < 1e-6, `${name}: relative norm of the difference ${error}`);
      }
    });
    gradients.run();
  }
}

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/** Unlike uvu's equal, which takes −0 for 0. */
function expectBits(operand: string, actual: ArrayLike<number>, want: ArrayLike<number>): void {
  for (let i = 0; i < actual.length; i++) {
    if (!Object.is(actual[i], want[i]) && bitsOf(actual[i]) !== bitsOf(want[i])) {
      assert.unreachable(`${operand}[${i}]: expected ${want[i]}, got ${actual[i]}`);
    }
  }
}

function expectClose(operand: string, actual: ArrayLike<number>, want: ArrayLike<number>, bound: { relative: number; absolute: number }): void {
  // Relative to the largest value: cancellation makes single small elements meaningless.
  let scale = 0;
  for (let i = 0; i < want.length; i++) if (Number.isFinite(want[i])) scale = Math.max(scale, Math.abs(want[i]));
  const allowed = bound.absolute + bound.relative * scale;
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], Math.fround(want[i]))) continue;
    if (!(Math.abs(actual[i] - want[i]) <= allowed)) assert.unreachable(`${operand}[${i}]: expected ${want[i]} ± ${allowed}, got ${actual[i]}`);
  }
}
