/* Says of a chosen file that it is too large before it is sent, and not after. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const input = document.querySelector("input[type=file][data-most-bytes]");
  const said = document.querySelector("[data-refusal]");
  if (!input || !said) return;
  const isTooLarge = () => Array.from(input.files).some((file) => file.size > Number(input.dataset.mostBytes));
  input.addEventListener("change", () => {
    said.textContent = isTooLarge() ? input.dataset.tooLarge : "";
  });
  input.form.addEventListener("submit", (event) => {
    if (isTooLarge()) event.preventDefault();
  });
});
