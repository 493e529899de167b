// Elements, figures as text, and the API. No text is ever taken as HTML.
export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
export function s(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
export const DASH = "–";
export function duration(ms) {
  if (ms === null || ms === undefined) return DASH;
  const size = Math.abs(ms);
  if (size === 0) return "0 ms";
  if (size < 0.001) return `${(ms * 1e6).toFixed(0)} ns`;
  if (size < 1) return `${short(ms * 1000)} µs`;
  if (size < 1000) return `${short(ms)} ms`;
  return `${short(ms / 1000)} s`;
}
export function short(value) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}
export const number = (value) => (value === null || value === undefined ? DASH : new Intl.NumberFormat("en").format(value));
export const percent = (value) => (value === null || value === undefined ? DASH : `${short(value)} %`);
export function sol(lamports, signed = false) {
  if (lamports === null || lamports === undefined) return DASH;
  const text = (lamports / 1e9).toFixed(6);
  return `${signed && lamports > 0 ? "+" : ""}${text} SOL`;
}
export const clock = (ms) => new Date(ms).toISOString().slice(11, 23);
export const when = (ms) => `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
export function age(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  return seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
export const brief = (text) => (text.length > 12 ? `${text.slice(0, 4)}…${text.slice(-4)}` : text);
// A stranger's text: without what is invisible or turns what stands after it around, and no longer than a cell.
export const strange = (text, most = 24) => {
  const letters = [...text.slice(0, 4 * most).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?").trim()];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
};
export const title = (component) => component[0] + component.slice(1).toLowerCase().replaceAll("_", " ");
const WORDS = { ok: "within", near: "near", over: "beyond", idle: "no data" };
const MARKS = { ok: "✓", near: "▲", over: "✕", idle: "·" };
export const badge = (standing, text) => h("span", { class: `badge ${standing}` }, `${MARKS[standing]} ${text ?? WORDS[standing]}`);
export function meter(used, standing) {
  const share = Math.max(0, Math.min(100, used ?? 0));
  return s("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", width: 100, height: 6, rx: 2 }),
    s("rect", { class: `fill ${standing}`, width: used === null || used === undefined ? 0 : Math.max(share, 0.8), height: 6, rx: 2 }));
}
export function table(label, heads, rows, empty = "Nothing yet.") {
  if (rows.length === 0) return h("div", { class: "card empty" }, h("p", {}, empty));
  const head = heads.map((one) => h("th", { scope: "col", class: one.class }, one.text));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, place) =>
    h(place === 0 ? "th" : "td", { class: heads[place].class, scope: place === 0 ? "row" : null }, cell))));
  return h("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}
export async function ask(address, options = {}) {
  const answer = await fetch(address, { ...options, headers: { Accept: "application/json", ...(options.headers ?? {}) } });
  let body = null;
  try { body = await answer.json(); } catch { /* no JSON */ }
  if (!answer.ok) throw new Error(body?.error ?? `the server answered ${answer.status}`);
  return body;
}
export const notice = (text, kind = "") => h("div", { class: `notice ${kind}`, role: kind ? "alert" : "note" }, text);
// Replaces children only where something changed and nothing is being pressed; the focus goes where it was.
export function refresh(holder, made) {
  const old = holder.firstElementChild;
  if (old && (old.isEqualNode(made) || old.matches(":active"))) return;
  const left = old?.scrollLeft ?? 0, focused = old?.contains(document.activeElement) ? document.activeElement : null;
  holder.replaceChildren(made);
  made.scrollLeft = left;
  if (!focused) return;
  const same = focused === old ? made : [...made.querySelectorAll("a, button")].find((one) => key(one) === key(focused));
  (same ?? made).focus({ preventScroll: true });
}
const key = (one) => one.dataset.key ?? one.getAttribute("href");
