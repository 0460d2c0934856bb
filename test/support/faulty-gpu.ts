/** What goes wrong, and when: the first call is 1. */
export interface GpuFaults {
  /** This createBuffer runs out of memory. */
  readonly failBuffer?: number;
  /** The device is lost right after this submit. */
  readonly loseAtSubmit?: number;
  /** From this submit on nothing reaches the GPU, though every call succeeds: what a lost device looks like. */
  readonly dropFromSubmit?: number;
}

export interface GpuCounts { buffers: number; submits: number; maps: number }

class GPUOutOfMemoryError {
  readonly message = "injected";
}

/** A real adapter whose devices count their calls and fail as told. */
export function faultyAdapter(adapter: GPUAdapter, faults: GpuFaults = {}): { adapter: GPUAdapter; counts: GpuCounts } {
  const counts = { buffers: 0, submits: 0, maps: 0 };
  const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => faultyDevice(await adapter.requestDevice(descriptor), faults, counts);
  return { adapter: replacing(adapter, { requestDevice }), counts };
}

function faultyDevice(device: GPUDevice, faults: GpuFaults, counts: GpuCounts): GPUDevice {
  let failing = false;
  const queue = replacing(device.queue, {
    submit: (commands: Iterable<GPUCommandBuffer>) => {
      counts.submits++;
      if (counts.submits < (faults.dropFromSubmit ?? Infinity)) device.queue.submit(commands);
      if (counts.submits === faults.loseAtSubmit) device.destroy();
    },
  });
  return replacing(device, {
    queue,
    createBuffer: (descriptor: GPUBufferDescriptor) => {
      failing = ++counts.buffers === faults.failBuffer;
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
