import { suite } from "uvu";
import * as assert from "uvu/assert";
import { crossEntropy } from "../src/ops/index.ts";
import { testDevices } from "./support/devices.ts";

for (const device of await testDevices()) {
  const exp = suite(`exp on ${device.description}`);

  // Seen through softmax, whose largest logit is 0: z becomes e^z · f with one f. Measured: 1.1e-7, the rounding of that product included.
  exp("relative error below 1.7e-7 down to e^-87, then exactly 0", async () => {
    const vocab = 20_000;
    const z = Float32Array.from({ length: vocab }, (_, i) => (-100 * i) / vocab);
    const targets = device.allocate("i32", [1], "targets");
    const logits = device.allocate("f32", [1, vocab], "logits");
    const loss = device.allocate("f32", [1], "loss");
    device.write(targets, Int32Array.of(vocab - 1));
    device.write(logits, z);
    device.run(crossEntropy, { targets, logits, loss }, { rows: 1, vocab, backward: 1, scale: 1 });
    const p = await device.read(logits);
    for (let i = 0; i < vocab - 1; i++) {
      const want = z[i] < -87 ? 0 : Math.exp(z[i]) * p[0];
      // p itself is a denormal number at the far end, so a unit of those is allowed beside the relative error.
      if (!(Math.abs(p[i] - want) <= want * 1.7e-7 + 1e-44) || (want === 0 && p[i] !== 0)) assert.unreachable(`e^${z[i]}: expected ${want}, got ${p[i]}`);
    }
    for (const tensor of [targets, logits, loss]) device.free(tensor);
  });

  exp.run();
}
