// Counts checks and prints them; a check that is skipped does not exist here.
export class Report {
  passed = 0;
  failed = 0;

  async check(name, work) {
    const began = performance.now();
    try {
      const note = await work();
      this.passed++;
      console.log(`  ✓ ${name}${note ? `: ${note}` : ""} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed++;
      console.log(`  ✘ ${name}\n${String(error?.stack ?? error).replace(/^/gm, "      ")}`);
    }
  }
}
