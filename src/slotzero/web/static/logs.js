// The log's newest lines, each with the snipe it belongs to.
import { ask, badge, brief, clock, h, refresh, table } from "./dom.js";
import { exports } from "./export.js";
import { listen } from "./feed.js";

const MARK = { debug: "idle", info: "ok", warning: "near", error: "over", critical: "over" };
export async function logsView(root, { query, go }) {
  const level = query.get("level") ?? "info";
  const api = `/api/v1/logs?${new URLSearchParams({ level, limit: "100" })}`;
  const choose = h("select", { id: "level", onchange: (event) => go(`/logs?level=${event.target.value}`) }, ["debug", "info", "warning", "error"].map((one) => h("option", { value: one, selected: one === level }, one)));
  const body = h("div", {});
  root.append(h("div", { class: "head" }, h("h1", {}, "Logs"), exports({ JSON: api, CSV: `${api}&format=csv` }, "logs")), h("div", { class: "row" }, h("label", { for: "level" }, "This level and above"), choose), h("p", {}), body);
  const update = async () => {
    try {
      const { lines } = await ask(api);
      refresh(body, table("Log lines, newest first", [{ text: "At (UTC)" }, { text: "Level" }, { text: "What" , class: "wrap-text" }, { text: "Snipe" }, { text: "From", class: "wide" }],
        [...lines].reverse().map((one) => [h("span", { class: "mono" }, clock(one.ts_ns / 1e6)), badge(MARK[one.level] ?? "idle", one.level), one.message, one.mint ? h("a", { href: `/snipes/${one.mint}`, title: one.mint }, brief(one.mint)) : "–", one.logger.replace("slotzero.", "")]),
        "Nothing at this level."));
    } catch { /* said in the head */ }
  };
  await update();
  let last = performance.now();
  return listen(() => { if (performance.now() - last > 1500) { last = performance.now(); void update(); } });
}
