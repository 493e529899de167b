// Load tests: what was carried, how it went over time, which limits held.
import { Chart } from "./charts.js";
import { ask, badge, duration, h, notice, number, percent, short, table, when } from "./dom.js";
import { exports } from "./export.js";

export async function loadView(root, { id }) {
  const { runs } = await ask("/api/v1/runs");
  const loads = runs.filter((one) => one.kind === "load");
  const chosen = id ?? loads[0]?.id;
  const api = chosen ? `/api/v1/runs/${encodeURIComponent(chosen)}` : "/api/v1/runs";
  root.append(h("div", { class: "head" }, h("h1", {}, chosen ? `Load: ${chosen}` : "Load"), exports({ JSON: api, CSV: `${api}?format=csv` }, "load")));
  if (chosen === undefined) { root.append(h("div", { class: "card empty" }, h("p", {}, "No load test is stored. Write one into the runs folder: slotzero load HEAVY --json FILE."))); return; }
  const found = await ask(api);
  if (loads.length > 1) root.append(table("Stored load tests", [{ text: "Run" }, { text: "Measured" }, { text: "What" }, { text: "Verdict" }], loads.map((one) => [h("a", { href: `/load/${one.id}` }, one.id), when(one.ts_ms), one.title, badge(one.passed === one.judged ? "ok" : "over", `${one.passed} of ${one.judged}`)])));
  for (const [name, why] of Object.entries(found.failures)) root.append(notice(`${name}: ${why}`, "bad-notice"));
  for (const one of found.loads) section(root, one);
}
function section(root, one) {
  root.append(h("h2", {}, `${one.scenario}, ${one.model === "open" ? "open: at planned instants" : "closed: each user in turn"}`),
    h("div", { class: "strip", "data-standing": one.passed ? "ok" : "over" }, h("div", { class: "grow" }, h("strong", {}, one.passed ? "Passed" : "Did not pass"), h("p", { class: "soft" }, `The generator: ${one.generator.replaceAll("_", " ")}. ${one.missed_starts ? `${number(one.missed_starts)} starts were missed.` : "No start was missed."}`)),
      h("dl", {}, [["operations", number(one.total_ops)], ["success", percent(one.success_percent)], ["achieved", `${short(one.ops_per_s)}/s`], ["p50", duration(one.p50_ms)], ["p95", duration(one.p95_ms)], ["p99", duration(one.p99_ms)], ["users or places", number(one.concurrency)]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  const seconds = (ticks) => ticks.map((tick) => (tick === null ? null : `${short(tick)} s`));
  const options = { time: false, x: { time: false }, xValues: seconds };
  const charts = [
    [new Chart("Requests a second", ["operations", "errors"], (value) => `${short(value)}/s`, options), ["ops_per_s", "errors"]],
    [new Chart("Latency", ["p50", "p95", "p99"], duration, options), ["p50_ms", "p95_ms", "p99_ms"]],
    [new Chart("In flight", ["in flight"], number, options), ["in_flight"]],
    [new Chart("The generator’s CPU", ["CPU"], percent, options), ["cpu_percent"]],
  ];
  root.append(h("p", {}), h("div", { class: "charts" }, charts.map(([chart]) => chart.figure)));
  const at = one.timeline.map((point) => point.at_s);
  for (const [chart, fields] of charts) chart.set([at, ...fields.map((field) => one.timeline.map((point) => point[field]))]);
  const rows = [...Object.entries(one.thresholds).map(([name, met]) => [name, badge(met ? "ok" : "over", met ? "met" : "missed")]), ...Object.entries(one.errors).filter(([, count]) => count).map(([name, count]) => [`errors: ${name.replaceAll("_", " ")}`, number(count)])];
  root.append(h("p", {}), table("Limits and errors", [{ text: "Limit or error" }, { text: "Came out" }], rows, "No limit was set and no error came."));
}
