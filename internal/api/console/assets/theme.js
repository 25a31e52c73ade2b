// Sets the theme before the first paint, so that a page does not flash in the other theme. It is a classic script, because modules run later.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("rayorch-theme");
  } catch {
    // If storage is not available, the system's theme applies.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
