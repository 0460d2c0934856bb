import { suite } from "uvu";
import * as assert from "uvu/assert";
import { softmaxSlices } from "../src/ops/index.ts";
import { testDevices } from "./support/devices.ts";

for (const device of await testDevices()) {
  const exp = suite(`exp on ${device.description}`);

  // Seen through softmax, whose largest logit is 0.
  exp("relative error below 1.7e-7 down to e^-87, then exactly 0", async () => {
    const vocab = 20_000;
    const z = Float32Array.from({ length: vocab }, (_, i) => (-100 * i) / vocab);
    const targets = device.allocate("i32", [1], "targets");
    const logits = device.allocate("f32", [1, vocab], "logits");
    const partials = device.allocate("f32", [2], "partials");
    const wanted = device.allocate("f32", [1], "wanted");
    device.write(targets, Int32Array.of(vocab - 1));
    device.write(logits, z);
    device.run(softmaxSlices, { targets, logits, partials, wanted }, { rows: 1, n: vocab, first: 0, slice: vocab, vocab });
    const p = await device.read(logits);
    for (let i = 0; i < vocab; i++) {
      const want = z[i] < -87 ? 0 : Math.exp(z[i]);
      if (!(Math.abs(p[i] - want) <= want * 1.7e-7) || (want === 0 && p[i] !== 0)) assert.unreachable(`e^${z[i]}: expected ${want}, got ${p[i]}`);
    }
    for (const tensor of [targets, logits, partials, wanted]) device.free(tensor);
  });

  exp.run();
}
