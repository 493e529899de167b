// What a view can be taken away as: the API's own JSON and CSV, or the view itself as one file.
import { h } from "./dom.js";

export function exports(addresses, name) {
  const links = Object.entries(addresses).map(([label, address]) => h("a", { class: "button", href: address, download: "" }, label));
  return h("div", { class: "exports", role: "group", "aria-label": "Export this view" }, h("span", { class: "soft" }, "Export"), links,
    h("button", { type: "button", onclick: () => save(name) }, "One file"));
}
async function save(name) {
  const sheets = await Promise.all(["/static/uPlot.min.css", "/static/page.css"].map(async (address) => (await fetch(address)).text()));
  const copy = document.documentElement.cloneNode(true);
  const drawn = [...document.querySelectorAll("canvas")];
  [...copy.querySelectorAll("canvas")].forEach((canvas, place) => {
    const image = document.createElement("img");
    image.src = drawn[place].toDataURL("image/png"); image.alt = "";
    image.width = drawn[place].clientWidth; image.height = drawn[place].clientHeight;
    canvas.replaceWith(image);
  });
  copy.querySelectorAll("script, link, dialog, .exports, nav, .tools, .skip, noscript, .brand img").forEach((one) => one.remove());
  copy.querySelectorAll("button").forEach((one) => one.remove());
  copy.querySelectorAll("a[href]").forEach((one) => one.removeAttribute("href"));
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy"; policy.content = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
  const style = document.createElement("style");
  style.textContent = sheets.join("\n");
  copy.querySelector("head").append(policy, style);
  const address = URL.createObjectURL(new Blob(["<!doctype html>\n", copy.outerHTML], { type: "text/html" }));
  h("a", { href: address, download: `slotzero-${name}.html` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 5000);
}
