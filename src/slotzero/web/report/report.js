"use strict";
// Comfort only: the page is complete without it.
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const isDark = () => root.dataset.theme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  const all = document.getElementById("all");
  const parts = [...document.querySelectorAll("details.card")];
  const label = () => { all.textContent = parts.some((part) => !part.open) ? "Open all" : "Close all"; };
  all.hidden = parts.length < 2;
  all.addEventListener("click", () => { const open = parts.some((part) => !part.open); parts.forEach((part) => { part.open = open; }); label(); });
  parts.forEach((part) => part.addEventListener("toggle", label));
  const show = () => {
    const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (part instanceof HTMLDetailsElement) { part.open = true; part.scrollIntoView(); }
  };
  addEventListener("hashchange", show);
  addEventListener("beforeprint", () => parts.forEach((part) => { part.open = true; }));
  show();
  label();
})();
