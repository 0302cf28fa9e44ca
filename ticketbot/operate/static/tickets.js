// The Tickets page: one box chooses all of this page. Without this script each is chosen alone.
"use strict";
(() => {
  const all = document.getElementById("pick-all");
  if (!all) return;
  const boxes = () => [...document.querySelectorAll("input[name=answer]")];
  all.hidden = !boxes().length;
  all.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));
  document.addEventListener("change", (event) => {
    if (event.target.name === "answer") all.checked = boxes().every((box) => box.checked);
  });
})();
