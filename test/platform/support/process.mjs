import { execFile } from "node:child_process";

/** @returns stdout. @throws with both outputs when it fails or takes longer than a few minutes. */
export function run(command, args, { cwd, env = {}, expect = 0 }) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd, env: { ...process.env, NO_COLOR: "1", ...env }, encoding: "utf8", timeout: 240_000, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const code = error ? (error.code ?? error.signal) : 0;
      if (code === expect) return resolve(stdout);
      reject(new Error(`${command.split("/").pop()} ${args.join(" ")}: exit ${code}, expected ${expect}\n${stdout}\n${stderr}`));
    });
  });
}

/** The object on the last line. */
export const lastJson = (stdout) => JSON.parse(stdout.trim().split("\n").at(-1));
