import type { Device } from "../../src/device.ts";
import { DeviceError } from "../../src/errors.ts";
import { VARIANTS, type Agreement, type Op } from "../../src/op.ts";
import { WebGpuDevice } from "../../src/webgpu/device.ts";

/** A device of the default adapter for each variant that it can do; what it cannot do is said, or is an error when `required`. */
export async function variantDevices(gpu: GPU, say: (line: string) => void, required: readonly string[] = []): Promise<WebGpuDevice[]> {
  const devices: WebGpuDevice[] = [];
  for (const variant of VARIANTS) {
    try {
      devices.push(await WebGpuDevice.create({ gpu, variants: [variant] }));
    } catch (error) {
      if (!(error instanceof DeviceError) || required.includes(variant)) throw error;
      say(`skipped: ${error.message.split("\n")[0]}`);
    }
  }
  return devices;
}

/** Whether the op has shaders of its own for a variant of this device. */
export function varies(op: Op, device: WebGpuDevice): boolean {
  return device.variants.some((variant) => op.gpu?.passes.some(({ variants }) => variants?.[variant]));
}

export function agreementOn(op: Op, device: Device): Agreement {
  const [own] = device instanceof WebGpuDevice ? device.variants.flatMap((variant) => op.gpu?.agreements?.[variant] ?? []) : [];
  return own ?? op.agreement;
}
