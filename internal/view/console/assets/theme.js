// Runs before the first paint, so that a page never flashes in the other theme. A classic script: modules run later.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("rayorch-theme");
  } catch {
    // Storage may be closed to pages; then the system's theme holds.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
