import { doctor, type DoctorReport } from "../commands/doctor.ts";
import { cliCommand } from "./command.ts";
import { openDevice } from "./device.ts";
import { gpuReport, gpuRows, type GpuReport } from "./doctor-gpu.ts";
import { doctorFacts } from "./doctor-facts.ts";
import { bytesText, plural, table } from "./format.ts";
import { snakeCased } from "./json.ts";
import type { Paint } from "./output.ts";

export const command = cliCommand({
  name: "doctor",
  flags: ["json"],
  examples: ["nibblelm doctor", "nibblelm doctor --json"],
}, async (_, { output }) => {
  const host = await doctorFacts();
  await using device = await openDevice({}, output);
  const report = await doctor(host, device);
  const gpu = await gpuReport();
  for (const line of reportLines(report, gpu, output.paint)) output.line(line);
  output.object({ ...(snakeCased(report) as Record<string, unknown>), gpu: snakeCased(gpu) });
  return report.selfCheck && gpu.device?.selfCheck !== false ? 0 : 1;
});

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
    ["device", report.device],
    ["kernels", report.selfCheck ? paint.good("give the right bits") : paint.bad("give wrong bits: please report this machine")],
    ...gpuRows(gpu, paint),
  ];
  return [...table(rows), ...report.advice.map((line) => `- ${line}`)];
}
