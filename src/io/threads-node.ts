import { ShapeError } from "../errors.ts";
import type { WorkerHost } from "../wasm/worker-host.ts";
import { countCores, type Cores } from "./cores-node.ts";
import { NodePace, POLITE_NICE } from "./pace-node.ts";
import { nodeWorkersAt } from "./workers-node.ts";

export interface ThreadOptions {
  /** `auto`, the default: the cores that this process may use, less one that stays free. */
  readonly threads?: number | "auto" | undefined;
  /** Rank below every other program and give up threads while others want the CPU. */
  readonly polite?: boolean | undefined;
  /** The most of the CPU that this process may use, above 0 and at most 1. */
  readonly cpuShare?: number | undefined;
  /** After every change of a polite device, in threads: 0.5 is one thread half of the time. */
  readonly onAllowance?: ((allowance: number) => void) | undefined;
}

export interface ThreadPlan {
  readonly threads: number;
  readonly workers: WorkerHost;
  readonly pace: NodePace | undefined;
}

/** How many threads, ranked how, and who paces them. @throws ShapeError naming the option. */
export function planThreads({ threads = "auto", polite = false, cpuShare = 1, onAllowance }: ThreadOptions, cores: Cores = countCores()): ThreadPlan {
  if (threads !== "auto" && !(Number.isInteger(threads) && threads >= 1)) throw new ShapeError("threads", "not a number of threads", { expected: "a whole number of at least 1, or auto", got: threads });
  if (!(cpuShare > 0 && cpuShare <= 1)) throw new ShapeError("createDevice", "cpuShare", { expected: "a number above 0, at most 1", got: cpuShare });
  const free = Math.max(1, cores.usable - 1);
  const share = cpuShare * Math.min(cores.affinity, cores.quota ?? Infinity);
  const most = Math.min(threads === "auto" ? (cpuShare < 1 ? share : free) : threads, cpuShare < 1 ? share : Infinity);
  const workers = nodeWorkersAt(polite ? POLITE_NICE : 0);
  const pace = polite || cpuShare < 1 ? new NodePace({ polite, most, onChange: onAllowance }) : undefined;
  return { threads: Math.max(1, Math.ceil(most)), workers, pace };
}
