// Positions: what is held and what became of the rest. Closing and panic need the token.
import { act } from "./act.js";
import { age, ask, badge, brief, h, number, refresh, sol, strange, table } from "./dom.js";
import { exports } from "./export.js";
import { listen } from "./feed.js";

const MOST = 200;
const STATES = { open: "ok", stuck: "over", graduated: "near", closed: "idle" };
export async function positionsView(root, { query, go }) {
  const state = query.get("state") ?? "all";
  const choose = h("select", { id: "state", onchange: (event) => go(`/positions?state=${event.target.value}`) },
    ["all", "held", "open", "stuck", "graduated", "closed"].map((one) => h("option", { value: one, selected: one === state }, one)));
  const panic = h("button", { type: "button", class: "danger", onclick: () => act("Sell everything and stop buying?", "Every position is sold at any price, and nothing is bought until you release it.", "/api/v1/panic", { reason: "from the page" }) }, "Panic");
  const resume = h("button", { type: "button", onclick: () => act("Go on buying?", "Takes the kill switch off.", "/api/v1/resume") }, "Release");
  const body = h("div", {}), said = h("div", {});
  const api = `/api/v1/positions?state=${encodeURIComponent(state)}`;
  root.append(h("div", { class: "head" }, h("h1", {}, "Positions"), exports({ JSON: `${api}&limit=1000`, CSV: `${api}&limit=1000&format=csv` }, "positions")),
    h("div", { class: "row" }, h("label", { for: "state" }, "Show"), choose, panic, resume), said, body);
  let isAsking = false;
  const update = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      const found = await ask(`${api}&limit=${MOST}`);
      refresh(said, h("div", {}, found.halted ? h("div", { class: "notice" }, `Buying is stopped: ${found.halted}.`) : "",
        found.total > found.positions.length ? h("p", { class: "soft" }, `The first ${number(found.positions.length)} of ${number(found.total)}; the export has up to 1,000.`) : ""));
      refresh(body, tableOf(found.positions));
    } catch { /* the strip above says that the server is gone */ } finally { isAsking = false; }
  };
  await update();
  let last = 0;
  return listen(() => { if (performance.now() - last > 1500) { last = performance.now(); void update(); } });
}
const name = (one) => strange(one.symbol) || brief(one.mint);
function tableOf(positions) {
  const heads = [{ text: "Coin" }, { text: "State" }, { text: "Quoted", class: "n" }, { text: "Would bring", class: "n" }, { text: "Stop", class: "n wide" }, { text: "Result", class: "n" }, { text: "Age", class: "n wide" }, { text: "Venue", class: "wide" }, { text: "Why", class: "wide wrap-text" }, { text: "Act" }];
  const rows = positions.map((one) => {
    const held = one.state !== "closed";
    const result = held && one.value_lamports !== null ? one.value_lamports - one.quoted_lamports : one.pnl_lamports;
    return [h("a", { href: `/snipes/${one.mint}`, title: one.mint }, name(one)), badge(STATES[one.state] ?? "idle", one.state), sol(one.quoted_lamports), held ? sol(one.value_lamports) : "–", held ? sol(one.stop_lamports) : "–",
      h("span", { class: result >= 0 ? "gain" : "loss" }, sol(result, true)), one.opened_ms === null ? "–" : age(one.opened_ms), one.venue, one.reason.replaceAll("_", " ") || "–",
      held ? h("button", { type: "button", "data-key": one.id, "aria-label": `Close ${name(one)}`, onclick: () => act(`Sell ${name(one)} now?`, `${number(one.tokens)} units of ${one.mint}, at whatever they bring.`, `/api/v1/positions/${encodeURIComponent(one.id)}/close`) }, "Close") : ""];
  });
  return table("Positions", heads, rows, "No position yet. A bot that runs shows them here as soon as a buy has landed.");
}
