import { doctor, type DoctorReport, type HostFacts } from "../commands/doctor.ts";
import type { Device } from "../device.ts";
import { cliCommand } from "./command.ts";
import { openDevice } from "./device.ts";
import { gpuReport, gpuRows, type GpuReport } from "./doctor-gpu.ts";
import { doctorFacts } from "./doctor-facts.ts";
import { bytesText, plural, table } from "./format.ts";
import { snakeCased } from "./json.ts";
import type { Output, Paint } from "./output.ts";

export const command = cliCommand({
  name: "doctor",
  flags: ["json"],
  examples: ["nibblelm doctor", "nibblelm doctor --json"],
}, async (_, { output, self }) => {
  const host = await doctorFacts();
  await using device = await openDevice({}, output);
  const report = await doctor(host, device, waysFor(host, output));
  const gpu = await gpuReport(output);
  for (const line of reportLines(report, gpu, output.paint)) output.line(line);
  for (const line of nextSteps(report, self)) output.line(line);
  output.object({ ...(snakeCased(report) as Record<string, unknown>), gpu: snakeCased(gpu) });
  return report.selfCheck && gpu.device?.selfCheck !== false ? 0 : 1;
});

/** The builds of the kernels, each as commands open it. */
function waysFor({ wasm, cpu }: HostFacts, output: Output): Map<string, () => Promise<Device>> {
  const ways = new Map<string, () => Promise<Device>>();
  const threads = Math.max(2, Math.min(cpu.usable, 4));
  for (const relaxedSimd of wasm.relaxedSimd ? [false, true] : [false]) {
    const build = relaxedSimd ? "relaxed SIMD" : "SIMD";
    ways.set(`${build}, 1 thread`, () => openDevice({ device: "wasm", relaxedSimd, threads: 1 }, output));
    if (wasm.threads) ways.set(`${build}, ${threads} threads`, () => openDevice({ device: "wasm", relaxedSimd, threads }, output));
  }
  return ways;
}

/** What a stranger would type next. */
function nextSteps({ selfCheck, cpu }: DoctorReport, self: string): string[] {
  if (!selfCheck) return [];
  const steps = [
    [`  ${self} demo`, "all of it in a minute, offline"],
    [`  ${self} quantize MODEL -o DIR${cpu.usable > 1 ? ` --threads ${cpu.usable}` : ""}`, "a model folder or a .gguf file in 4 bits"],
    [`  ${self} bench quantize`, "how fast this machine is"],
  ];
  return ["", "Next", ...table(steps)];
}

function reportLines(report: DoctorReport, gpu: GpuReport, paint: Paint): string[] {
  const { cpu, memory, wasm } = report;
  const yes = (value: boolean): string => (value ? "yes" : "no");
  const limits = [
    cpu.affinity < cpu.cores ? `this process may use ${cpu.affinity}` : "",
    cpu.quota === undefined ? "" : `a cgroup grants ${cpu.quota.toFixed(1)}`,
    cpu.load === undefined ? "" : `load ${cpu.load.toFixed(1)}`,
  ].filter(Boolean);
  const rows = [
    ["nibblelm", report.version],
    ["runtime", `${report.runtime}, ${report.platform}`],
    ["cpu", `${cpu.model}, ${plural(cpu.cores, "core")}${limits.length ? ` (${limits.join(", ")})` : ""}`],
    ["threads", `${Math.max(1, cpu.usable - 1)} with --threads auto, which leaves a core free; at most ${cpu.usable} run at once`],
    ["memory", `${bytesText(memory.total)}, ${bytesText(memory.free)} free${memory.limit === undefined ? "" : `; limited to ${bytesText(memory.limit)}`}`],
    ["wasm", `SIMD yes, relaxed SIMD ${yes(wasm.relaxedSimd)}, shared memory for threads ${yes(wasm.threads)}`],
    ...report.kernels.map(({ name, exact, problem }, i) => [i ? "" : "kernels", `${name}: ${exact ? paint.good("the right bits") : paint.bad(problem ?? "wrong bits: please report this machine")}`]),
    ["device", `${report.device}, unless --device and --threads say otherwise`],
    ...gpuRows(gpu, paint),
  ];
  return [...table(rows), ...(report.advice.length ? ["", ...report.advice.map((line) => `- ${line}`)] : [])];
}
