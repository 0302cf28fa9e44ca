// The Clean page: a label that may be wrong, why, and what looks like it. One key decides; nothing is decided by itself.
"use strict";
(() => {
  const bench = document.getElementById("clean");
  const byId = (id) => document.getElementById(id);
  const LOOK_MS = 2000;
  const list = bench.dataset.list, language = document.documentElement.lang;
  const said = Said(bench, (...answer) => one.answered(...answer));
  const keys = Keys(bench, said, act);
  const words = [...keys.categories.map(([category]) => category), "junk", "skip", "unsure", "keep"];
  const one = OneAtATime(bench, said, keys, {
    store: `clean.${list}`, wanted: 12, low: 6, ahead: 3, past: 3, whole: false, asks, draw, heard: figures, moved,
  });
  const percent = (share) => (share === null ? "–" : `${Math.min(99, Math.round(share * 100))} %`);

  // What was kept is on the list until the server has heard of it.
  function asks(history) {
    return { list, passed: [...said.waiting(), ...history.map((each) => each.item.sha256)].slice(-500) };
  }

  function moved() {
    byId("together").checked = false;
  }

  function figures(progress) {
    if (!progress.lists) return; // those of the Label page
    byId("left").textContent = progress.left.toLocaleString(language);
    byId("fine").textContent = progress.fine.toLocaleString(language);
    for (const [name, n] of Object.entries(progress.lists)) {
      bench.querySelector(`[data-count="${name}"]`).textContent = n.toLocaleString(language);
    }
    byId("stop").hidden = !progress.stop;
    byId("stop").textContent = progress.stop ? said.text("stop", { n: progress.fine }) : "";
  }

  function draw(item) {
    const beside = byId("beside");
    byId("says").textContent = item ? why(item) : "\u00a0";
    beside.hidden = !item || !item.beside.length;
    beside.setAttribute("aria-label", said.text("beside"));
    beside.replaceChildren(...(item ? item.beside : []).map((other) => figure(other)));
    if (!item) return;
    if (one.buttonOf(item.label)) one.buttonOf(item.label).classList.add("is");
    if (!item.suggested || item.suggested === item.label) return;
    byId("frame").classList.add("suggests", keys.colourOf(item.suggested));
    if (one.buttonOf(item.suggested)) one.buttonOf(item.suggested).classList.add("suggested");
  }

  function why(item) {
    if (item.said.length) {
      const [[first_who, first], [second_who, second]] = item.said;
      return said.text("why_opinions", { first_who, first, second_who, second });
    }
    const facts = { label: item.label, suggested: item.suggested, p_label: percent(item.p_label), p_suggested: percent(item.p_suggested) };
    const kind = item.p_label === null ? "why_unknown" : item.suggested === item.label ? "why_agrees" : "why_suspect";
    const parts = [said.text(kind, facts)];
    if (item.conflict) parts.push(said.text("why_conflict"));
    if (item.model) parts.push(said.text("model", { name: item.model, percent: percent(item.confidence) }));
    return parts.join(" ");
  }

  function figure(other) {
    const box = document.createElement("figure"), image = document.createElement("img"), name = document.createElement("figcaption");
    box.className = keys.colourOf(other.label);
    image.src = one.address(other.sha256, "thumb");
    image.alt = said.text("picture_of", { name: other.label });
    name.textContent = name.title = other.label;
    box.append(image, name);
    return box;
  }

  // --- what a person does ---

  function act(what, event) {
    const together = event.shiftKey || byId("together").checked;
    const digit = /^Digit([1-9])$/.exec(event.code || "");
    if (event.shiftKey && digit && keys.categories[digit[1] - 1]) return say(keys.categories[digit[1] - 1][0], true);
    if (what === "Enter") return say("keep", together);
    if (what === "undo") return one.undo();
    if (what === "zoom") return one.zoom();
    if (words.includes(what) && what !== "keep") say(what, together);
  }

  function say(word, together) {
    const item = one.first(), passes = word === "skip" || word === "unsure";
    if (!item) return;
    // Keeping all keeps those that have this very label; another word is said of all of them.
    const same = item.beside.filter((other) => word !== "keep" || other.label === item.label);
    const alike = together && !passes ? same.map((other) => other.sha256) : [];
    const body = one.say(word, alike);
    if (body) said.enqueue(bench.dataset.labelUrl, { ...body, list, alike });
  }

  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word, event.shiftKey || byId("together").checked);
  });

  // --- a cleaning that runs ---

  let idle = 0;

  async function watch() {
    try {
      const reply = await fetch(bench.dataset.stateUrl, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      const { asked, cleaning } = await reply.json();
      const runs = cleaning && cleaning.state === "running";
      const now = runs ? cleaning.progress : null;
      byId("running-stage").textContent = now ? `${now.stage}${now.total ? ` ${now.done}/${now.total}` : ""}` : "";
      idle = runs || asked ? 0 : idle + 1;
      if (idle > 1) return location.reload();
    } catch {
      // the connection comes back
    }
    setTimeout(watch, LOOK_MS);
  }

  figures(JSON.parse(bench.dataset.progress));
  one.begin();
  if (bench.dataset.running) watch();
})();
