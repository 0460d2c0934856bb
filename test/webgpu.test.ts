import { suite } from "uvu";
import * as table from "../src/ops/index.ts";
import type { Op } from "../src/op.ts";
import { webGpuDevice } from "./support/devices.ts";
const device = await webGpuDevice({ ops: Object.values(table) as Op[] });
const s = suite("webgpu");
s("compiles", async () => { await device?.finish(); });
s.after(() => device?.dispose());
s.run();
