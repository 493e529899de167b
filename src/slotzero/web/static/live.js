// Live: the verdict, the four headline figures, charts over the last minutes, and every target.
import { Chart } from "./charts.js";
import { badge, duration, h, meter, number, percent, refresh, short, sol, table, title } from "./dom.js";
import { exports } from "./export.js";
import { listen, live } from "./feed.js";

const LINE = ["DETECTION", "HONEYPOT", "FILTERS", "EXECUTION", "FULL_FLOW", "EXIT"];
const BESIDE = ["POSITION_MONITOR", "RUG_DETECTION", "PRIVACY", "WALLET_ROTATION", "FEE_OPTIMIZATION", "METADATA", "PRICE_FEED"];
const OWN = ["DETECTION", "FILTERS", "EXECUTION", "FULL_FLOW", "EXIT"];
const TILES = ["DETECTION", "HONEYPOT", "EXECUTION", "FULL_FLOW"];
const mb = (value) => (value === null ? "–" : `${short(value)} MB`);
const ops = (value) => (value === null ? "–" : `${short(value)}/s`);

export function liveView(root) {
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    live.isPaused = !live.isPaused; pause.setAttribute("aria-pressed", String(live.isPaused)); pause.textContent = live.isPaused ? "Go on" : "Pause";
  } }, "Pause");
  const strip = h("div", {}), tiles = h("div", {}), targets = h("div", {}), system = h("div", {}), outcomes = h("div", {});
  const charts = {
    line: new Chart("p95 on the snipe’s line", LINE.map(title), duration, { log: true }),
    beside: new Chart("p95 beside it", BESIDE.map(title), duration, { log: true }),
    flow: new Chart("Full flow, creation to buy confirmed", ["p50", "p95", "p99"], duration, {}),
    success: new Chart("Buys that landed", ["success"], percent, { limit: 70, limitName: "must exceed" }),
    ops: new Chart("Throughput", [...LINE.slice(0, 2), "EXECUTION", "PRICE_FEED"].map(title), ops, {}),
    flight: new Chart("At once", ["snipes", "waiting", "held"], number, {}),
    memory: new Chart("Memory of the bot", ["memory"], mb, { limit: 500, limitName: "limit" }),
    cpu: new Chart("CPU of the bot", ["CPU"], percent, { limit: 80, limitName: "limit" }),
    loop: new Chart("How long the event loop keeps others waiting", ["p50", "p99"], duration, {}),
    own: new Chart("Own time p95: our CPU, which better code shortens", OWN.map(title), duration, { log: true }),
    value: new Chart("What open positions would bring", ["value"], (value) => sol(value), {}),
    money: new Chart("Result of closed positions", ["result"], (value) => sol(value, true), {}),
  };
  root.append(
    h("div", { class: "head" }, h("h1", {}, "Live"), h("div", { class: "row" }, pause, exports({ JSON: "/api/v1/performance", CSV: "/api/v1/performance?format=csv" }, "live"))),
    strip, tiles, h("h2", {}, "Over the last minutes"), h("div", { class: "charts" }, Object.values(charts).map((chart) => chart.figure)),
    h("h2", {}, "Every target"), targets, h("h2", {}, "The whole system"), system, h("h2", {}, "What became of the pools"), outcomes);
  const update = () => { if (live.newest) draw(live.newest, strip, tiles, targets, system, outcomes, charts); };
  update();
  const leave = listen(update);
  return () => { leave(); live.isPaused = false; };  // the other views have no button that says so
}

function draw(tick, strip, tiles, targets, system, outcomes, charts) {
  const by = new Map(tick.components.map((one, place) => [one.component, { ...one, place }]));
  refresh(strip, stripOf(tick));
  refresh(tiles, h("div", { class: "tiles" }, TILES.map((name) => tile(by.get(name)))));
  refresh(targets, targetsOf(tick.components));
  refresh(system, table("Targets of the whole system", [{ text: "Target" }, { text: "Now", class: "n" }, { text: "Limit", class: "n" }, { text: "Standing" }],
    tick.system.map((one) => [one.name, `${short(one.value)} ${one.unit}`, `${one.is_floor ? "over" : "under"} ${short(one.limit)} ${one.unit}`, badge(one.standing)])));
  refresh(outcomes, outcomesOf(tick.counts));
  const at = live.points.map((point) => point.ts_ms / 1000);
  const figure = (name, which) => { const place = by.get(name).place; return live.points.map((point) => point.p[place][which]); };
  const group = (key, which) => live.points.map((point) => point[key][which]);
  charts.line.set([at, ...LINE.map((name) => figure(name, 1))]);
  charts.beside.set([at, ...BESIDE.map((name) => figure(name, 1))]);
  charts.flow.set([at, ...[0, 1, 2].map((which) => figure("FULL_FLOW", which))]);
  charts.success.set([at, group("c", 3)]);
  charts.ops.set([at, ...[...LINE.slice(0, 2), "EXECUTION", "PRICE_FEED"].map((name) => figure(name, 3))]);
  charts.flight.set([at, group("c", 0), group("c", 1), group("c", 2)]);
  charts.memory.set([at, group("r", 0)]);
  charts.cpu.set([at, group("r", 1)]);
  charts.loop.set([at, group("r", 2), group("r", 3)]);
  charts.own.set([at, ...OWN.map((name) => figure(name, 4))]);
  charts.value.set([at, group("m", 1)]);
  charts.money.set([at, group("m", 0)]);
}

function stripOf(tick) {
  const bad = [...tick.components.filter((one) => one.standing === "over").map((one) => title(one.component)), ...tick.system.filter((one) => one.standing === "over").map((one) => one.name)];
  const near = tick.components.filter((one) => one.standing === "near").map((one) => title(one.component));
  const measured = tick.components.filter((one) => one.standing !== "idle");
  const aims = measured.filter((one) => one.aim_met);
  let said = "Nothing has been measured yet", more = "Start a bot with “slotzero run”; this page finds it.";
  if (tick.bot !== null && tick.verdict === "idle") more = "The bot runs; the first pool has not come yet.";
  if (tick.verdict === "ok") { said = "Within every target"; more = `${aims.length} of ${measured.length} components also within their aim.`; }
  if (tick.verdict === "near") { said = `Near a target: ${near.join(", ")}`; more = "Within the last fifth of a limit."; }
  if (tick.verdict === "over") { said = `Beyond target: ${bad.join(", ")}`; more = `${measured.filter((one) => one.standing === "ok").length} of ${measured.length} components are within theirs.`; }
  if (tick.halted) more = `Buying is stopped: ${tick.halted}.`;
  const broken = Object.entries(tick.invariants).filter(([, count]) => count > 0);
  if (broken.length) { said = `An invariant is broken: ${broken.map(([name]) => name.replaceAll("_", " ")).join(", ")}`; }
  const facts = [["pools seen", number(tick.counts.detected)], ["bought", number(tick.counts.bought)], ["held", number(tick.counts.held)], ["closed", number(tick.counts.closed)], ["result", sol(tick.pnl_lamports, true)]];
  return h("div", { class: "strip", "data-standing": broken.length ? "over" : tick.verdict }, h("div", { class: "grow" }, h("strong", {}, said), h("p", { class: "soft" }, more)),
    h("dl", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}
function tile(one) {
  return h("div", { class: "card tile" }, h("div", { class: "top-line" }, h("h2", {}, `${title(one.component)} p95`), badge(one.standing)),
    h("div", { class: "value" }, duration(one.p95_ms)), h("div", { class: "small soft" }, `of ${duration(one.target_p95_ms)}${one.own_p95_ms === null ? "" : `, own time ${duration(one.own_p95_ms)}`}`), meter(one.used_percent, one.standing));
}
function targetsOf(components) {
  const heads = [{ text: "Component" }, { text: "p50", class: "n wide" }, { text: "p95", class: "n" }, { text: "p99", class: "n wide" }, { text: "own p95", class: "n wide" }, { text: "aim", class: "n wide" }, { text: "must", class: "n" }, { text: "of must", class: "wide" }, { text: "Standing" }, { text: "calls", class: "n wide" }];
  return table("Components against their targets", heads, components.map((one) => [title(one.component), duration(one.p50_ms), duration(one.p95_ms), duration(one.p99_ms), duration(one.own_p95_ms), duration(one.aim_p95_ms), duration(one.target_p95_ms),
    meter(one.used_percent, one.standing), h("span", {}, badge(one.standing), one.aim_met === true ? h("span", { class: "small soft" }, " in aim") : ""), number(one.count)]));
}
function outcomesOf(counts) {
  const rows = [...Object.entries(counts.refused).map(([name, count]) => [name, "not bought", count]), ...Object.entries(counts.failed).map(([name, count]) => [name, "buy failed", count])].sort((a, b) => b[2] - a[2]);
  return table("Why pools were not bought", [{ text: "Reason" }, { text: "Kind" }, { text: "Pools", class: "n" }], rows.map(([name, kind, count]) => [name.replaceAll("_", " "), kind, number(count)]), "No pool has been refused yet.");
}
