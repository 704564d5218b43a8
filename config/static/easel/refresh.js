/* Loads a page anew every few seconds for as long as something on it is at work. */
"use strict";

const RELOAD_EVERY_MS = 3000;

document.addEventListener("DOMContentLoaded", () => {
  if (!document.querySelector("[data-at-work]")) return;
  setInterval(() => {
    if (!document.hidden) window.location.reload();
  }, RELOAD_EVERY_MS);
});
