import type { Output } from "./output.ts";
import { INTERRUPTED } from "./session.ts";

/** Ctrl-C, and the SIGTERM of a cluster that wants its node back: the first asks, the second kills. */
export function interruptSignal(output: Output): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) {
      output.endProgress();
      process.exit(INTERRUPTED);
    }
    controller.abort();
    output.note("stopping … (Ctrl-C again stops at once)");
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, onSignal);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, onSignal);
    },
  };
}
