/** What goes wrong, and when: the first call is 1. */
export interface GpuFaults {
  /** The most bytes of a binding, fewer than WebGPU promises. */
  readonly bindingSize?: number;
  /** This createBuffer runs out of memory, or all from this one on. */
  readonly failBuffer?: number;
  readonly failAllBuffers?: boolean;
  /** The device is lost right after this submit, or after every so many. */
  readonly loseAtSubmit?: number;
  readonly loseEverySubmits?: number;
  /** From this submit on nothing reaches the GPU, though every call succeeds: what a lost device looks like. */
  readonly dropFromSubmit?: number;
}

export interface GpuCounts { devices: number; buffers: number; submits: number; maps: number }

class GPUOutOfMemoryError {
  readonly message = "injected";
}

/** A real GPU whose devices count their calls, all together, and fail as told. */
export function faultyGpu(gpu: GPU, faults: GpuFaults = {}): { gpu: GPU; counts: GpuCounts } {
  const counts = { devices: 0, buffers: 0, submits: 0, maps: 0 };
  const requestAdapter = async (): Promise<GPUAdapter> => {
    const adapter = (await gpu.requestAdapter())!;
    return replacing(adapter, { requestDevice: async (descriptor?: GPUDeviceDescriptor) => { counts.devices++; return faultyDevice(await adapter.requestDevice(descriptor), faults, counts); } });
  };
  return { gpu: replacing(gpu, { requestAdapter }), counts };
}

function faultyDevice(device: GPUDevice, faults: GpuFaults, counts: GpuCounts): GPUDevice {
  let failing = false;
  const queue = replacing(device.queue, {
    submit: (commands: Iterable<GPUCommandBuffer>) => {
      counts.submits++;
      if (counts.submits < (faults.dropFromSubmit ?? Infinity)) device.queue.submit(commands);
      if (counts.submits === faults.loseAtSubmit || counts.submits % (faults.loseEverySubmits ?? Infinity) === 0) device.destroy();
    },
  });
  return replacing(device, {
    queue,
    ...(faults.bindingSize && { limits: replacing(device.limits, { maxStorageBufferBindingSize: faults.bindingSize }) }),
    createBuffer: (descriptor: GPUBufferDescriptor) => {
      const at = ++counts.buffers;
      failing ||= at === faults.failBuffer || (faults.failAllBuffers === true && at > faults.failBuffer!);
      const buffer = device.createBuffer(descriptor);
      const map = buffer.mapAsync.bind(buffer);
      buffer.mapAsync = (...range) => { counts.maps++; return map(...range); };
      return buffer;
    },
    popErrorScope: () => {
      if (!failing) return device.popErrorScope();
      failing = false;
      return device.popErrorScope().then(() => new GPUOutOfMemoryError() as unknown as GPUError);
    },
  });
}

/** `target` with some members replaced; its own methods still run on it, as native objects demand. */
function replacing<T extends object>(target: T, members: Record<string, unknown>): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (typeof name === "string" && name in members) return members[name];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
    set: (_, name, value) => Reflect.set(target, name, value, target),
  });
}
