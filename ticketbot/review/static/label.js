// The Label page, one picture at a time: a key labels what is shown and shows the next, which is loaded already.
"use strict";
(() => {
  const bench = document.getElementById("label");
  const byId = (id) => document.getElementById(id);
  const said = Said(bench, (...answer) => one.answered(...answer));
  const keys = Keys(bench, said, act);
  const figures = Figures(bench, said);
  const words = [...keys.categories.map(([category]) => category), "junk", "skip", "unsure"];
  const one = OneAtATime(bench, said, keys, {
    store: "label", wanted: 16, low: 8, ahead: 4, past: 5, whole: true, asks: () => ({}), draw, heard: figures.take, moved,
  });

  function moved(item, word, by) {
    if (word !== "skip" && word !== "unsure") figures.counted(by, item.second ? 0 : by);
  }

  function draw(item) {
    const frame = byId("frame"), says = byId("says");
    says.replaceChildren();
    says.classList.toggle("muted", !item || !item.suggested);
    if (!item || !item.suggested) {
      says.textContent = item ? said.text(item.second ? "second" : item.blind ? "blind" : "no_suggestion") : "\u00a0";
      return;
    }
    frame.classList.add("suggests", keys.colourOf(item.suggested));
    frame.classList.toggle("hesitates", item.unsure);
    const dot = document.createElement("span"), name = document.createElement("b"), share = document.createElement("span");
    dot.className = `dot ${keys.colourOf(item.suggested)}`;
    name.textContent = item.suggested;
    const percent = `${Math.min(99, Math.round(item.confidence * 100))} %`;
    share.textContent = item.unsure ? said.text("hesitates", { percent }) : percent;
    says.append(dot, name, share);
    const button = one.buttonOf(item.suggested);
    if (button) button.classList.add("suggested");
  }

  function act(what) {
    if (what === "undo") return one.undo();
    if (what === "zoom") return one.zoom();
    if (words.includes(what)) say(what);
  }

  function say(word) {
    const item = one.first(), body = one.say(word);
    if (body) said.enqueue(bench.dataset.labelUrl, { ...body, suggested_by: item.suggested_by || "" });
  }

  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word);
  });
  one.begin();
})();
