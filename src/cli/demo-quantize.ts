import { quantize } from "../commands/quantize.ts";
import type { Device } from "../device.ts";
import { createSink } from "../io/node.ts";
import { bytesText, durationText, plural } from "./format.ts";
import type { Session } from "./session.ts";
import { DEMO, openModelSource } from "./sources.ts";

/** The first part of the demo: the package's model in 4 bits. */
export async function quantizeDemo(session: Session, device: Device, modelDir: string, say: (text: string) => void): Promise<void> {
  const { output, signal } = session;
  const began = performance.now();
  const result = await quantize({ model: await openModelSource(DEMO, session), output: await createSink(modelDir, { force: true }), device, signal });
  const seconds = (performance.now() - began) / 1000;
  say(`The small llama inside the package has ${(result.parameters / 1e6).toFixed(2)} million parameters of 16 bits.`);
  say(`The weights of its ${plural(result.quantized, "linear")} become one of 16 levels each: 4 bits, and 0.127 for the scales.`);
  say(`${bytesText(result.bytesIn)} → ${output.paint.bold(bytesText(result.bytesOut))}, ${result.bitsPerParam.toFixed(2)} bits a parameter with the embedding, which stays in 16 (${durationText(seconds)})`);
}
