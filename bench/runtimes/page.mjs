// In a page: `bench quantize` on the CPU or on a GPU.
import { bench, createDevice, memoryFolder } from "nibblelm/bench";

globalThis.benchQuantize = async (kind, sizes, seconds) => {
  const device = await createDevice({ kind });
  const { cases } = await bench({ what: "quantize", devices: [{ device, threads: 1 }], sizes, seconds, memory: 1e9, model: memoryFolder("none", []) });
  const { description } = device;
  await device.dispose();
  return { description, cases };
};
