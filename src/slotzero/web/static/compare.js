// Two stored benchmark runs: figures with intervals, verdicts, distributions over one another, what else differs.
import { overlay } from "./charts.js";
import { ask, badge, DASH, duration, h, notice, table, when } from "./dom.js";
import { exports } from "./export.js";
import { interval } from "./runs.js";

const MARK = { REGRESSED: ["over", "slower"], SUSPECT: ["near", "perhaps slower"], IMPROVED: ["ok", "faster"], EQUIVALENT: ["ok", "the same"], INCONCLUSIVE: ["idle", "no evidence"] };
const FIELDS = [["p50", "median", "p50_ms"], ["p95", "p95", "p95_ms"], ["p99", "p99", "p99_ms"]];
export async function compareView(root, { query, go }) {
  const { runs } = await ask("/api/v1/runs");
  const names = runs.filter((one) => one.kind === "benchmark").map((one) => one.id);
  const base = query.get("base") ?? names[1] ?? names[0], fresh = query.get("new") ?? names[0];
  if (base === undefined) {
    root.append(h("div", { class: "head" }, h("h1", {}, "Compare")), h("div", { class: "card empty" }, h("p", {}, "Nothing to compare yet. Measure twice: slotzero bench --save-baseline before, then --save-baseline after.")));
    return undefined;
  }
  const pick = (id, chosen) => h("select", { id }, names.map((one) => h("option", { value: one, selected: one === chosen }, one)));
  const one = pick("base", base), other = pick("new", fresh);
  const api = `/api/v1/runs/${encodeURIComponent(base)}/compare/${encodeURIComponent(fresh)}`;
  root.append(h("div", { class: "head" }, h("h1", {}, "Compare"), exports({ JSON: api, CSV: `${api}?format=csv`, Report: `${api}?format=html` }, "compare")),
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); go(`/compare?base=${encodeURIComponent(one.value)}&new=${encodeURIComponent(other.value)}`); } },
      h("label", { for: "base" }, "Base"), one, h("label", { for: "new" }, "New"), other, h("button", { type: "submit" }, "Compare"), h("button", { type: "button", onclick: () => go(`/compare?base=${encodeURIComponent(fresh)}&new=${encodeURIComponent(base)}`) }, "Swap")), h("p", {}));
  const found = await ask(api);
  root.append(strip(found));
  if (found.verdicts) for (const note of found.verdicts.notes) root.append(notice(note));
  root.append(h("h2", {}, "Figures"), figures(found));
  const shared = Object.entries(found.curves).filter(([, [before, after]]) => before.ms.length && after.ms.length);
  root.append(h("h2", {}, "Distributions"), h("p", { class: "soft" }, "Share of calls that took at most so long; further right is slower."), h("div", { class: "charts" }, shared.map(([name, curves]) => overlay(name, [`base ${base}`, `new ${fresh}`], curves, [found.base_figures[name], found.new_figures[name]].map((one) => `p95 ${duration(one.p95_ms)}`)))));
  root.append(h("h2", {}, "What else differs"), table("Differences of the environments", [{ text: "Fact" }, { text: "Base" }, { text: "New" }], found.differences.map((fact) => [fact.name, fact.base, fact.new]), "Nothing: both were measured in the same surroundings."));
  return undefined;
}
function strip(found) {
  const [standing, word] = found.verdicts ? MARK[found.verdicts.verdict] : ["idle", "not comparable"];
  const said = found.verdicts ? (found.verdicts.verdict === "REGRESSED" ? "Something got slower" : `New against base: ${word}`) : "These cannot be compared";
  const more = found.verdicts ? `${tally(found.verdicts.comparisons)}.${found.verdicts.suite_effect_percent === null ? "" : ` Medians ${signed(found.verdicts.suite_effect_percent)} over all benchmarks, the machine’s mood taken out.`}` : found.refusal;
  return h("div", { class: "strip", "data-standing": standing }, h("div", { class: "grow" }, h("strong", {}, said), h("p", { class: "soft" }, more)),
    h("dl", {}, [["base", `${found.base.id}, ${when(found.base.ts_ms)}`], ["new", `${found.new.id}, ${when(found.new.ts_ms)}`]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}
function tally(lines) {
  const counts = new Map();
  for (const line of lines) counts.set(MARK[line.verdict][1], (counts.get(MARK[line.verdict][1]) ?? 0) + 1);
  return `Of ${lines.length} percentiles: ${[...counts].map(([word, count]) => `${count} ${word}`).join(", ")}`;
}
const signed = (value) => `${value > 0 ? "+" : ""}${value.toFixed(1)} %`;
function figures(found) {
  const lines = new Map((found.verdicts?.comparisons ?? []).map((line) => [`${line.name} ${line.metric}`, line]));
  const rows = [];
  for (const [name, before] of Object.entries(found.base_figures)) {
    const after = found.new_figures[name];
    for (const [label, metric, field] of FIELDS) {
      const line = lines.get(`${name} ${metric}`);
      const [standing, word] = line ? MARK[line.verdict] : ["idle", after ? "not judged" : "not in new"];
      const bounds = line?.interval ? ` (${signed(line.interval.low ?? line.interval[0])} to ${signed(line.interval.high ?? line.interval[1])})` : "";
      rows.push([`${name} ${label}`, duration(before[field]), interval(before.intervals[metric]), after ? duration(after[field]) : DASH, after ? interval(after.intervals[metric]) : DASH, line ? signed(line.effect_percent) + bounds : DASH, badge(standing, word)]);
    }
  }
  return table("Figures of both runs", [{ text: "Benchmark" }, { text: "Base", class: "n" }, { text: "95 % interval", class: "n wide" }, { text: "New", class: "n" }, { text: "95 % interval", class: "n wide" }, { text: "Change", class: "n" }, { text: "Verdict" }], rows);
}
