import { adamw } from "../../src/ops/adamw.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

const f = Math.fround;

function sized(n: number, t: number, weightDecay: number, clip: number, spread = 1) {
  const [beta1, beta2] = [0.9, 0.999];
  return {
    name: `${n} at step ${t}, weight decay ${weightDecay}, clip ${clip}, gradients × ${spread}`,
    params: { n, learningRate: f(1e-3), oneMinusBeta1: f(1 - beta1), beta2: f(beta2), oneMinusBeta2: f(1 - beta2), eps: f(1e-8), weightDecay: f(weightDecay), correction1: f(1 - beta1 ** t), correction2: f(1 - beta2 ** t) },
    inputs: {
      clip: Float32Array.of(3, clip), grad: normals(n, 1, spread), param: normals(n, 2),
      expAvg: t > 1 ? normals(n, 3, 0.1) : new Float32Array(n), expAvgSq: t > 1 ? normals(n, 4).map((v) => v * v) : new Float32Array(n),
    },
  };
}

export default {
  op: adamw,
  cases: [sized(0, 1, 0, 1), sized(1, 1, 0, 1), sized(7, 3, 0.01, 0.25), sized(16390, 20, 0, 1), sized(40, 1, 0.1, 0.5), sized(9, 1, 0, 1, 1e-8), sized(9, 1, 0, 1, 0)],
  reference: ({ clip, grad, param, expAvg, expAvgSq }, p) => {
    const next = { param: new Float64Array(p["n"]), expAvg: new Float64Array(p["n"]), expAvgSq: new Float64Array(p["n"]) };
    for (let i = 0; i < p["n"]; i++) {
      const g = grad[i] * clip[1];
      const m = expAvg[i] + (g - expAvg[i]) * p["oneMinusBeta1"];
      const v = expAvgSq[i] * p["beta2"] + g * g * p["oneMinusBeta2"];
      const decayed = param[i] * (1 - p["learningRate"] * p["weightDecay"]);
      next.param[i] = decayed - ((p["learningRate"] / p["correction1"]) * m) / (Math.sqrt(v) / Math.sqrt(p["correction2"]) + p["eps"]);
      next.expAvg[i] = m;
      next.expAvgSq[i] = v;
    }
    return next;
  },
} satisfies OpTest;
