// The playground in a real Chromium, as a person uses it. `node test/platform/playground.mjs [--screenshots DIR] [training] [models] [hosts] [budgets]`, after `npm run build`.
import { mkdir } from "node:fs/promises";
import { budgets } from "./playground/budgets.mjs";
import { Suite } from "./playground/harness.mjs";
import { hosts } from "./playground/hosts.mjs";
import { models } from "./playground/models.mjs";
import { training } from "./playground/training.mjs";

const GROUPS = { training, models, hosts, budgets };
const args = process.argv.slice(2);
const screenshots = args.includes("--screenshots") ? args[args.indexOf("--screenshots") + 1] : undefined;
const named = args.filter((arg) => arg in GROUPS);
if (screenshots) await mkdir(screenshots, { recursive: true });

const suite = new Suite();
await suite.start();
for (const name of named.length ? named : Object.keys(GROUPS)) await GROUPS[name](suite, screenshots);
await suite.close();
console.log(`playground: ${suite.passed} passed, ${suite.failed} failed`);
process.exit(suite.failed ? 1 : 0);
