import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Op } from "../src/op.ts";
import * as table from "../src/ops/index.ts";
import { opTests } from "./ops/index.ts";
import { disagreement } from "./support/agreement.ts";
import { requiredVariants, testDevices, testGpu } from "./support/devices.ts";
import { relativeNorm } from "./support/numbers.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { agreementOn, varies, variantDevices } from "./support/variants.ts";

const devices = await testDevices({ gpu: true });
const variants = devices.some(({ kind }) => kind === "webgpu") ? await variantDevices(await testGpu(), console.log, requiredVariants) : [];

const coverage = suite("ops: table");
coverage("every op has a test", () => {
  const tested = new Set(opTests.map((t) => t.op.name));
  const missing = Object.values(table).map((op) => op.name).filter((name) => !tested.has(name));
  assert.equal(missing, []);
});
coverage.run();

for (const test of opTests) {
  const { op, reference } = test;
  for (const device of [...devices.filter((d) => d.kind !== "reference" && op.devices.includes(d.kind)), ...variants.filter((d) => varies(op as Op, d))]) {
    const name = `${op.name} on ${device.description}`;
    const here = suite(name);
    for (const item of test.cases) {
      here(item.name, async () => {
        const first = await runOp(device, test, item);
        const second = await runOp(device, test, item);
        const expected = reference(structuredClone(item.inputs), item.params);
        for (const [operand, actual] of Object.entries(first)) {
          assert.ok(sameBits(actual, second[operand]), `${operand}: two runs differ`);
          const problem = disagreement(actual, expected[operand], agreementOn(op as Op, device));
          if (problem) assert.unreachable(`${operand}${problem}`);
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
