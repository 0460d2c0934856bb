#!/usr/bin/env node
import { main } from "./cli/main.ts";

// `nibblelm … | head` closes the pipe early: that is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
// This file, as source and as bundle, is one folder below the package's root.
process.exitCode = await main(process.argv.slice(2), new URL("../", import.meta.url));
