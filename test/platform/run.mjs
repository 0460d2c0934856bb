// Packs the package, installs it into an empty project and runs it for real in every runtime it is meant for.
// node test/platform/run.mjs [servers] [entries] [chromium] [jsr] [edge]     after npm run build
import { chromium } from "./cases/chromium.mjs";
import { edge } from "./cases/edge.mjs";
import { entries } from "./cases/entries.mjs";
import { jsr } from "./cases/jsr.mjs";
import { servers } from "./cases/servers.mjs";
import { makeProject } from "./support/project.mjs";
import { Report } from "./support/report.mjs";

const CASES = { servers, entries, chromium, jsr, edge };
const names = process.argv.slice(2).length ? process.argv.slice(2) : Object.keys(CASES);
const report = new Report();
const { folder, remove } = makeProject();
try {
  for (const name of names) await CASES[name](report, folder);
} finally {
  remove();
}
console.log(`platforms: ${report.passed} passed, ${report.failed} failed`);
process.exit(report.failed || !report.passed ? 1 : 0); // what hangs is not waited for
