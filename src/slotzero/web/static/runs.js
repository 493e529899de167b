// Stored runs: the list, and one of them.
import { ask, badge, duration, h, notice, number, percent, table, when } from "./dom.js";
import { exports } from "./export.js";

export async function runsView(root, context) { return context.id === null ? listView(root, context) : oneView(root, context.id); }
async function listView(root, { go }) {
  root.append(h("div", { class: "head" }, h("h1", {}, "Runs"), exports({ JSON: "/api/v1/runs", CSV: "/api/v1/runs?format=csv" }, "runs")));
  const { runs, unreadable } = await ask("/api/v1/runs");
  const benchmarks = runs.filter((one) => one.kind === "benchmark");
  if (benchmarks.length > 1) {
    const pick = (id, chosen) => h("select", { id }, benchmarks.map((one) => h("option", { value: one.id, selected: one.id === chosen }, one.id)));
    const base = pick("base", benchmarks[1].id), fresh = pick("new", benchmarks[0].id);
    root.append(h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); go(`/compare?base=${encodeURIComponent(base.value)}&new=${encodeURIComponent(fresh.value)}`); } },
      h("label", { for: "base" }, "Compare"), base, h("label", { for: "new" }, "with"), fresh, h("button", { type: "submit" }, "Compare")), h("p", {}));
  }
  for (const [name, why] of Object.entries(unreadable)) root.append(notice(`${name} is left out: ${why}`));
  root.append(table("Stored runs", [{ text: "Run" }, { text: "Kind" }, { text: "Measured" }, { text: "What" , class: "wide" }, { text: "Results", class: "n" }, { text: "Targets" }, { text: "slotzero", class: "wide" }, { text: "CPU", class: "wide" }],
    runs.map((one) => [h("a", { href: `/${one.kind === "load" ? "load" : "runs"}/${one.id}` }, one.id), one.kind, when(one.ts_ms), one.title || "–", number(one.results), one.judged ? badge(one.passed === one.judged && !one.failed ? "ok" : "over", `${one.passed} of ${one.judged}`) : badge("idle", "none"), one.slotzero, one.cpu]),
    "No stored run. Measure one: slotzero bench --save-baseline NAME, or write results with --json into the runs folder."));
}
async function oneView(root, id) {
  const api = `/api/v1/runs/${encodeURIComponent(id)}`;
  const found = await ask(api);
  root.append(h("div", { class: "head" }, h("div", {}, h("p", { class: "small" }, h("a", { href: "/runs" }, "All runs")), h("h1", {}, id), h("p", { class: "soft" }, `${found.entry.title || found.entry.kind}, ${when(found.entry.ts_ms)}`)),
    exports({ JSON: api, CSV: `${api}?format=csv`, Report: `${api}?format=html`, "Result file": `${api}?format=file` }, `run-${id}`)));
  for (const [name, why] of Object.entries(found.failures)) root.append(notice(`${name}: ${why}`, "bad-notice"));
  root.append(table("Benchmarks", [{ text: "Benchmark" }, { text: "p50", class: "n" }, { text: "p95", class: "n" }, { text: "95 % interval of p95", class: "n wide" }, { text: "p99", class: "n" }, { text: "own p95", class: "n wide" }, { text: "must", class: "n wide" }, { text: "Success", class: "n" }, { text: "Target" }, { text: "Samples", class: "n wide" }],
    found.benchmarks.map((one) => [one.name, duration(one.p50_ms), duration(one.p95_ms), interval(one.intervals.p95), duration(one.p99_ms), duration(one.own_p95_ms), duration(one.target_p95_ms), percent(one.success_percent), one.passed === null ? badge("idle", "none") : badge(one.passed ? "ok" : "over", one.passed ? "met" : "missed"), number(one.count)]), "This run holds load tests; the Load view shows them."));
  root.append(h("h2", {}, "Measured where"), h("div", { class: "card" }, h("dl", { class: "facts" }, Object.entries(found.environment).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
}
export const interval = (found) => (found ? `${duration(found.low ?? found[0])} to ${duration(found.high ?? found[1])}` : "too few samples");
