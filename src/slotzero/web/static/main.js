// The frame of the page: addresses to views, the connection, the colours.
import { endAll, repaintAll } from "./charts.js";
import { h, notice } from "./dom.js";
import { connect, listen, live } from "./feed.js";
import { compareView } from "./compare.js";
import { liveView } from "./live.js";
import { loadView } from "./load.js";
import { logsView } from "./logs.js";
import { positionsView } from "./positions.js";
import { runsView } from "./runs.js";
import { snipesView } from "./snipes.js";

const VIEWS = [["live", "Live", liveView], ["positions", "Positions", positionsView], ["snipes", "Snipes", snipesView], ["runs", "Runs", runsView],
  ["compare", "Compare", compareView], ["load", "Load", loadView], ["logs", "Logs", logsView]];
const place = document.getElementById("view");
let leave = () => {};
let turn = 0;

async function show(isFirst) {
  const [name, ...rest] = location.pathname.split("/").filter(Boolean);
  const [key, label, view] = VIEWS.find(([one]) => one === name) ?? VIEWS[0];
  leave(); endAll(); turn += 1;
  const mine = turn;
  document.title = `${label} · slotzero`;
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.dataset.view === key) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const root = h("div", { "data-view": key });
  place.replaceChildren(root);
  leave = () => {};
  try {
    const left = await view(root, { id: rest.length ? decodeURIComponent(rest.join("/")) : null, query: new URLSearchParams(location.search), go });
    if (mine === turn) leave = left ?? (() => {}); else left?.();
  } catch (error) {
    root.append(notice(`This view cannot be shown: ${error.message}`, "bad-notice"));
  }
  root.dataset.ready = "yes";
  if (!isFirst) { place.focus({ preventScroll: true }); scrollTo(0, 0); }
}
function go(address) { history.pushState(null, "", address); void show(false); }

document.getElementById("tabs").append(...VIEWS.map(([key, label]) => h("li", {}, h("a", { href: `/${key}`, "data-view": key }, label))));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || link.hasAttribute("download")) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || to.hash || /^\/(api|static|metrics|openapi)/.test(to.pathname)) return;
  event.preventDefault(); go(to.pathname + to.search);
});
addEventListener("popstate", () => void show(false));

const status = document.getElementById("link");
const about = document.getElementById("about");
listen(() => {
  const words = { live: `watching ${live.newest?.bot?.cluster ?? ""}`, waiting: "no bot answers", lost: "reconnecting" };
  if (status.dataset.state !== live.state || status.textContent !== words[live.state]) { status.dataset.state = live.state; status.textContent = words[live.state]; }
  const bot = live.newest?.bot;
  about.textContent = bot ? `slotzero ${bot.version}, process ${bot.pid}` : "slotzero";
});

const theme = document.getElementById("theme");
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `${isDark() ? "Light" : "Dark"} colours`); };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", document.documentElement.dataset.theme); } catch { /* storage is off */ }
  named(); repaintAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { named(); repaintAll(); });
named();
connect();
void show(true);
