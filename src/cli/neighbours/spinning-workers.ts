import { workerScript, workersOf } from "../../io/workers-node.ts";
import type { WorkerHost } from "../../wasm/worker-host.ts";
import { KernelError } from "../../errors.ts";

/**
 * The engine as it must not be: the same workers, but who waits for the others burns a core. It is here to fail the same
 * check that the engine passes, which shows that the check can fail.
 */
export function spinningWorkers(): WorkerHost {
  const script = workerScript(0);
  const spinning = script.replace(/Atomics\.wait\(control, words\.phase, phase\)/, "0");
  if (spinning === script) throw new KernelError("bench neighbours", "the wait of the workers was not found", { expected: "Atomics.wait on the phase", got: "another script" });
  return workersOf(spinning);
}
