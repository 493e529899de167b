// Snipes: the newest and the slowest, and where the time of one went: own work against waiting.
import { ask, badge, brief, clock, duration, h, number, refresh, s, sol, table } from "./dom.js";
import { exports } from "./export.js";
import { listen } from "./feed.js";

const MARK = { bought: "ok", closed: "ok", refused: "idle", failed: "over", unknown: "near", stuck: "over" };
export async function snipesView(root, context) { return context.id === null ? listView(root, context) : oneView(root, context.id); }

async function listView(root, { query, go }) {
  const order = query.get("order") ?? "newest", outcome = query.get("outcome") ?? "all";
  const to = (changes) => go(`/snipes?${new URLSearchParams({ order, outcome, ...changes })}`);
  const select = (id, value, values, key) => h("select", { id, onchange: (event) => to({ [key]: event.target.value }) }, values.map((one) => h("option", { value: one, selected: one === value }, one)));
  const api = `/api/v1/snipes?${new URLSearchParams({ order, outcome, limit: "50" })}`;
  const body = h("div", {});
  root.append(h("div", { class: "head" }, h("h1", {}, "Snipes"), exports({ JSON: `${api}&stages=true`, CSV: `${api}&format=csv` }, "snipes")),
    h("div", { class: "row" }, h("label", { for: "order" }, "First"), select("order", order, ["newest", "slowest"], "order"), h("label", { for: "outcome" }, "Outcome"), select("outcome", outcome, ["all", "bought", "refused", "failed", "unknown", "closed", "stuck"], "outcome")), h("p", {}), body);
  const update = async () => {
    try {
      const { snipes } = await ask(api);
      refresh(body, table("Snipes", [{ text: "Pool" }, { text: "Outcome" }, { text: "Why" , class: "wide" }, { text: "Total", class: "n" }, { text: "Own", class: "n" }, { text: "Waited", class: "n" }, { text: "Share", class: "wide" }, { text: "Slots", class: "n wide" }, { text: "At (UTC)", class: "wide" }],
        snipes.map((one) => [h("a", { href: `/snipes/${one.id}`, title: one.id }, brief(one.id)), badge(MARK[one.outcome], one.outcome), one.reason.replaceAll("_", " ") || "–", duration(one.total_ms), duration(one.own_ms), duration(one.waited_ms), shareBar(one), number(one.slots_to_land), clock(one.ts_ns / 1e6)]),
        "No snipe is remembered. They appear here as pools are seen."));
    } catch { /* said in the head */ }
  };
  await update();
  let last = performance.now();
  return listen(() => { if (performance.now() - last > 2000) { last = performance.now(); void update(); } });
}
function shareBar(one) {
  const own = one.total_ms > 0 ? Math.min(100, (100 * one.own_ms) / one.total_ms) : 0;
  return s("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "own", width: own, height: 6 }), s("rect", { class: "waited", x: own, width: 100 - own, height: 6 }));
}

async function oneView(root, id) {
  const api = `/api/v1/snipes/${encodeURIComponent(id)}`;
  root.append(h("div", { class: "head" }, h("div", {}, h("p", { class: "small" }, h("a", { href: "/snipes" }, "All snipes")), h("h1", {}, `Snipe ${brief(id)}`)), exports({ JSON: api, OTLP: `${api}?format=otlp`, Perfetto: `${api}?format=perfetto` }, `snipe-${id.slice(0, 8)}`)));
  const { traces } = await ask(api);
  const entry = traces.find((one) => one.outcome !== "closed" && one.outcome !== "stuck"), exit = traces.find((one) => one.outcome === "closed" || one.outcome === "stuck");
  const one = entry ?? exit;
  root.append(h("div", { class: "strip", "data-standing": MARK[(exit ?? one).outcome] }, h("div", { class: "grow" }, h("strong", {}, [entry, exit].filter(Boolean).map((trace) => trace.outcome + (trace.reason ? `: ${trace.reason.replaceAll("_", " ")}` : "")).join(", then ")), h("p", { class: "soft mono" }, id)),
    h("dl", {}, [["to the buy’s end", duration(one.total_ms)], ["own", duration(one.own_ms)], ["waited", duration(one.waited_ms)], ["slots to land", number(one.slots_to_land)], ["exit", exit ? duration(exit.exit_ms) : "–"], ["result", exit ? sol(exit.pnl_lamports, true) : "–"]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  const parts = [];
  if (entry) parts.push(["From the creation to the buy’s end", entry.stages.filter((stage) => !leaving(stage))]);
  if (exit) parts.push(["The exit", exit.stages.filter((stage) => stage.name.startsWith("exit "))]);
  for (const [label, stages] of parts.filter(([, stages]) => stages.length)) {
    root.append(h("h2", {}, label), h("div", { class: "card" }, h("div", { class: "legend" }, h("span", {}, "own: our CPU"), h("span", { class: "l-waited" }, "waited: network, disk, slot"), h("span", { class: "l-beside" }, "beside the line, in no sum")), waterfall(stages, label)), h("p", {}), stageTable(stages, label));
  }
  root.append(h("p", { class: "small soft" }, "Trace id ", h("span", { class: "mono" }, one.trace_id), ", the same in the log and in exported traces."));
}
const leaving = (stage) => stage.name === "hold" || stage.name.startsWith("exit ");

function waterfall(stages, label) {
  const first = Math.min(...stages.map((one) => one.start_ns)), end = Math.max(...stages.map((one) => one.start_ns + one.duration_ns));
  const width = Math.max(330, Math.min(1150, document.getElementById("view").clientWidth - 74));
  const span = Math.max(1, end - first), left = 92, right = width - 66, row = 27, height = 22 + row * stages.length;
  const x = (ns) => left + ((ns - first) / span) * (right - left);
  const drawn = s("svg", { class: "fall", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${label}: ${stages.map((one) => `${one.name} ${duration(one.duration_ns / 1e6)} ${one.kind}`).join(", ")}` });
  const ticks = width > 700 ? 4 : 2;
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = left + (tick / ticks) * (right - left);
    drawn.append(s("line", { x1: at, x2: at, y1: 16, y2: height }), text(at, 11, duration((span * tick) / ticks / 1e6), "middle", "soft-text"));
  }
  stages.forEach((stage, place) => {
    const y = 20 + row * place, start = x(stage.start_ns), long = Math.max(2, x(stage.start_ns + stage.duration_ns) - start);
    drawn.append(text(left - 10, y + 14, stage.name, "end"), s("rect", { class: stage.kind, x: start, y: y + 3, width: long, height: 15, rx: 3 }), text(start + long + 6, y + 14, duration(stage.duration_ns / 1e6), "start", "soft-text"));
  });
  return drawn;
}
function text(x, y, said, anchor, kind = "") { const made = s("text", { x, y, "text-anchor": anchor, class: kind }); made.textContent = said; return made; }
function stageTable(stages, label) {
  const whole = stages.filter((one) => one.kind === "own" || one.kind === "waited").reduce((sum, one) => sum + one.duration_ns, 0);
  return table(`Stages: ${label}`, [{ text: "Stage" }, { text: "Kind" }, { text: "Begins at", class: "n" }, { text: "Takes", class: "n" }, { text: "Share", class: "n" }],
    stages.map((one) => [one.name, one.kind, duration(one.start_ns / 1e6), duration(one.duration_ns / 1e6), one.kind === "beside" || !whole ? "–" : `${((100 * one.duration_ns) / whole).toFixed(1)} %`]));
}
