import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What the program takes later, beside all that is planned: compiled code, stacks, files being saved, garbage. Measured: bench/RESULTS.md, Paging. */
const GROWTH = 48 * 2 ** 20;
/** Two runs alike differ by less. */
const STEP = 16 * 2 ** 20;

/** Bytes of memory that the process takes now and later, as long as kernels have none. */
export function programMemory(): number {
  collectGarbage();
  return Math.ceil((process.memoryUsage.rss() + GROWTH) / STEP) * STEP;
}

/** V8 collects when it wants memory itself; the kernels' it does not see. Nothing happens in engines that let no program ask. */
function collectGarbage(): void {
  try {
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
  } catch {
    // more is counted then, never less
  }
}
