// uPlot with this page's colours. Lines are one pixel wide: thicker ones cost three times the drawing time.
import { duration, h, short } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const alive = new Set();

export class Chart {
  // keys: names of the lines; unit: how values are told; options: log, limit, limitName, time
  constructor(name, keys, tell, options = {}) {
    this.name = name; this.keys = keys; this.tell = tell; this.options = options; this.plot = null; this.data = null;
    this.holder = h("div", { class: "plot", role: "img", "aria-label": `${name}: no data yet` });
    this.caption = h("figcaption", {});
    this.figure = h("figure", { class: "card" }, h("h3", {}, name), this.holder, this.caption);
    this.told = 0; this.isSeen = true;
    this.seeing = new IntersectionObserver((entries) => {
      this.isSeen = entries.at(-1).isIntersecting;
      if (this.isSeen && this.isStale) this.draw();
    });
    this.seeing.observe(this.holder);
    this.sizing = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.sizing.observe(this.holder);
    alive.add(this);
  }
  size() { return { width: Math.max(120, this.holder.clientWidth), height: 186 }; }
  set(data) {
    this.data = data; this.isStale = true;
    if (this.isSeen && !document.hidden) this.draw();
    this.legend();
  }
  draw() {
    this.isStale = false;
    if (!this.data || this.data[0].length === 0 || !this.holder.isConnected) return;
    if (this.plot) { this.plot.setData(this.data); return; }
    this.plot = new uPlot(this.settings(), this.data, this.holder);
  }
  settings() {
    const { log, limit, time = true, floor = true } = this.options;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif" };
    const series = this.keys.map((name, place) => ({ label: name, stroke: colour(`--s${place % 7}`), width: 1, points: { show: false }, spanGaps: true }));
    const scale = log
      ? { distr: 3, range: (u, low, high) => [10 ** Math.floor(Math.log10(Math.max(low || 1e-3, 1e-5))), 10 ** Math.ceil(Math.log10(Math.max(high || 1, 1e-4)) + 0.001)] }
      : { range: (u, low, high) => { const top = Math.max(high ?? 0, limit && high > limit * 0.6 ? limit : 0); return [floor ? Math.min(0, low ?? 0) : low, top > 0 || low < 0 ? top * 1.12 || 0.1 : 1]; } };
    const told = (u, ticks) => ticks.map((tick) => (tick === null ? null : log && !Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6) ? "" : this.tell(tick)));
    return {
      ...this.size(), legend: { show: false }, cursor: { sync: time ? { key: "time" } : undefined, y: false, points: { size: 6 } },
      scales: { x: time ? { time: true } : this.options.x ?? { time: false }, y: scale },
      axes: [
        { ...axis, size: 28, space: 70, ...(this.options.x?.distr === 3 ? { splits: (u, at, low, high) => decades(low, high, high / low > 300 ? [1] : [1, 2, 5]) } : {}), values: time ? (u, ticks) => ticks.map((tick) => new Date(tick * 1000).toISOString().slice(11, 19)) : this.options.xValues ? (u, ticks) => this.options.xValues(ticks) : undefined },
        { ...axis, size: 62, space: 34, values: told, ...(log ? { splits: (u, at, low, high) => decades(low, high, [1]) } : {}) },
      ],
      series: [{}, ...series],
      hooks: {
        setCursor: [(u) => this.legend(u.cursor.idx)],
        draw: [(u) => {
          if (limit === undefined || limit === null) return;
          const y = u.valToPos(limit, "y", true);
          if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) return;
          u.ctx.save(); u.ctx.strokeStyle = colour("--over"); u.ctx.setLineDash([5, 4]); u.ctx.lineWidth = 1;
          u.ctx.beginPath(); u.ctx.moveTo(u.bbox.left, y); u.ctx.lineTo(u.bbox.left + u.bbox.width, y); u.ctx.stroke(); u.ctx.restore();
        }],
      },
    };
  }
  legend(place = null) {
    if (!this.data) return;
    const values = this.data.slice(1).map((line) => {
      if (place !== null && place !== undefined) return line[place];
      for (let at = line.length - 1; at >= 0; at -= 1) if (line[at] !== null && line[at] !== undefined) return line[at];
      return null;
    });
    const still = place === null || place === undefined ? this.options.still : undefined;
    const keys = this.keys.map((name, at) => h("span", { class: `key k${at % 7}` }, h("i", {}, `${name} `), h("b", {}, still ? still[at] : this.tell(values[at] ?? null))));
    if (this.options.limit !== undefined && this.options.limit !== null) keys.push(h("span", { class: "key limit-key" }, h("i", {}, `${this.options.limitName ?? "limit"} `), h("b", {}, this.tell(this.options.limit))));
    this.caption.replaceChildren(...keys);
    const now = performance.now();
    if (now - this.told > 5000 || this.told === 0) {
      this.told = now;
      this.holder.setAttribute("aria-label", `${this.name}: ${this.keys.map((name, at) => `${name} ${still ? still[at] : this.tell(values[at] ?? null)}`).join(", ")}`);
    }
  }
  repaint() {
    if (!this.plot) return;
    this.plot.destroy(); this.plot = null; this.draw();
  }
  end() { this.seeing.disconnect(); this.sizing.disconnect(); this.plot?.destroy(); this.plot = null; alive.delete(this); }
}
function decades(low, high, steps) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of steps) { const tick = step * 10 ** power; if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick); }
  }
  return found;
}
export function repaintAll() { for (const chart of alive) chart.repaint(); }
export function endAll() { for (const chart of [...alive]) chart.end(); }

// Cumulative distributions of two runs over a common axis of durations.
export function overlay(name, labels, curves, still) {
  const all = [...new Set([...curves[0].ms, ...curves[1].ms])].filter((value) => value > 0).sort((a, b) => a - b);
  const along = (curve) => {
    let place = -1;
    return all.map((value) => {
      while (place + 1 < curve.ms.length && curve.ms[place + 1] <= value) place += 1;
      return place < 0 ? 0 : curve.percent[place];
    });
  };
  const chart = new Chart(name, labels, (value) => (value === null ? "–" : `${short(value)} %`), {
    time: false, limit: 95, limitName: "line at", still,
    x: { time: false, distr: 3, range: (u, low, high) => [low, high] }, xValues: (ticks) => ticks.map((tick) => (tick === null ? null : duration(tick))),
  });
  queueMicrotask(() => chart.set([all, along(curves[0]), along(curves[1])]));
  return chart.figure;
}
