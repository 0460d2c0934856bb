/** Seconds of processor time that this process took so far, in all of its threads: user and system. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Seconds of processor time since the last call. */
export function cpuMeter(): () => number {
  let before = cpuSeconds();
  return () => {
    const now = cpuSeconds();
    const took = now - before;
    before = now;
    return took;
  };
}
