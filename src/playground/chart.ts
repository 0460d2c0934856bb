import uPlot from "uplot";
import { byId } from "./dom.ts";
import type { Point } from "./session.ts";

/** The loss as it falls: every step as a thin line, and its running mean as a thick one. */
export class LossChart {
  readonly #plot: uPlot;
  #points: Point[] = [];

  constructor() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => (): string => style.getPropertyValue(name).trim(); // read at every drawing: the theme may change
    const lines = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid: lines, ticks: lines };
    const number = (_: uPlot, value: number | null): string => (value === null ? "–" : value.toFixed(3));
    this.#plot = new uPlot({
      width: 600, height: 240, scales: { x: { time: false } },
      axes: [{ ...axis, label: "step", labelSize: 16, size: 34 }, { ...axis, size: 44 }],
      series: [
        { label: "step" },
        { label: "loss", stroke: colour("--quiet"), width: 1, points: { show: false }, value: number },
        { label: "mean of ten", stroke: colour("--accent"), width: 2.5, points: { show: false }, value: number },
      ],
    }, [[], [], []], byId("chart"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.redraw());
    new ResizeObserver(([{ contentRect }]) => this.#plot.setSize({ width: Math.max(200, contentRect.width), height: 240 })).observe(byId("chart"));
  }

  set(points: readonly Point[]): void {
    this.#points = [...points];
    this.#draw();
  }

  add(point: Point): void {
    this.#points.push(point);
    this.#draw();
  }

  #draw(): void {
    const losses = this.#points.map(([, loss]) => loss);
    const mean = losses.map((_, i) => {
      const window = losses.slice(Math.max(0, i - 9), i + 1);
      return window.reduce((sum, loss) => sum + loss, 0) / window.length;
    });
    this.#plot.setData([this.#points.map(([step]) => step), losses, mean]);
    byId("chart").setAttribute("aria-label", losses.length ? `Loss by step: ${losses[0].toFixed(2)} at step ${this.#points[0][0]}, ${losses.at(-1)!.toFixed(2)} at step ${this.#points.at(-1)![0]}` : "Loss by step");
  }
}
