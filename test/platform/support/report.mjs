// Counts checks and prints them; a check that is skipped does not exist here.
const late = () => new Promise((_, reject) => setTimeout(() => reject(new Error("not done after 4 minutes")), 240_000).unref());

export class Report {
  passed = 0;
  failed = 0;

  async check(name, work) {
    const began = performance.now();
    try {
      const note = await Promise.race([work(), late()]);
      this.passed++;
      console.log(`  ✓ ${name}${note ? `: ${note}` : ""} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed++;
      console.log(`  ✘ ${name}\n${String(error?.stack ?? error).replace(/^/gm, "      ")}`);
    }
  }
}
