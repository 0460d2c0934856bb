import type { Recovered } from "../commands/recovery.ts";
import { plural } from "./format.ts";

/** What the device said, and how the work goes on. */
export function recoveredLine({ reason, error, frames }: Recovered): string {
  const how = reason === "memory" ? `with at most ${plural(frames!, "layer")} on the device at once` : "on a new device";
  return `${error.message.split("\n")[0]}; going on ${how}, with the same results`;
}

export function recoveredObject({ reason, error, frames }: Recovered): Record<string, unknown> {
  return { event: "recovered", reason, frames, message: error.message.split("\n")[0] };
}
