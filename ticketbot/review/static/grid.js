// The Label page, look-alikes at once: take out what is something else, and one key says what the rest is.
"use strict";
(() => {
  const bench = document.getElementById("grid-bench");
  const byId = (id) => document.getElementById(id);
  const COLUMNS = () => getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length;
  // One page ahead: what more this page held would be missing in somebody else's.
  const WANTED = 24, AHEAD = 1, MOST_PASSED = 400;
  const said = Said(bench, answered);
  const keys = Keys(bench, said, act);
  const zoom = Lens(byId("board"), byId("lens"));
  const figures = Figures(bench, said);
  const words = [...keys.categories.map(([category]) => category), "junk"];

  let now = JSON.parse(sessionStorage.getItem("grid.now") || "[]");
  // Pages to come, as {items, cells}: their pictures are loaded and decoded before they are shown.
  let ahead = [];
  let passed = JSON.parse(sessionStorage.getItem("grid.passed") || "[]");
  let history = JSON.parse(sessionStorage.getItem("grid.history") || "[]");
  let out = new Set(), at = 0, shownAt = performance.now(), asking = false, exhausted = false, isLost = false;

  const address = (sha256, size) => `/picture/${sha256}.jpg?size=${size}`;
  const rest = () => now.filter((item) => !out.has(item.sha256));
  const suggestion = () => (now.length && now.every((item) => item.suggested === now[0].suggested) ? now[0].suggested : null);

  function answered(post, ok, reply) {
    if (!post) return;
    if (ok && post.url === bench.dataset.undoUrl && !post.body.shown && post.body.page === said.page) back(reply.items || []);
    if (!said.queued().length) figures.take(reply.progress);
  }

  // --- pages of look-alikes ---

  async function ask() {
    if (asking) return;
    asking = true;
    let more = false;
    try {
      const have = [...now, ...ahead.flatMap((one) => one.items)].map((item) => item.sha256);
      const reply = await said.post(bench.dataset.alikeUrl, { page: said.page, n: WANTED, have, passed: [...said.waiting(), ...passed].slice(-500) });
      if (await said.turnedAway(reply)) return;
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      if (isLost) said.say("");
      isLost = false;
      const found = await reply.json();
      const done = new Set([...said.waiting(), ...have]);
      const items = found.items.filter((item) => !done.has(item.sha256) && !item.category);
      exhausted = !items.length;
      if (items.length) prepare(items);
      if (!said.queued().length) figures.take(found.progress);
      if (!now.length) turn();
      more = !exhausted && ahead.length < AHEAD;
    } catch {
      if (!now.length) said.say(said.text("no_connection"));
      isLost = !now.length;
      setTimeout(ask, 3000);
    } finally {
      asking = false;
    }
    if (more) ask();
  }

  function prepare(items, first = false) {
    const page = { items, cells: items.map(cell) };
    for (const each of page.cells) each.firstChild.decode().catch(() => {}); // `unseen` takes a broken one out
    if (first) ahead.unshift(page); else ahead.push(page);
    ahead.splice(AHEAD + 1); // what is let go is offered again
  }

  function turn() {
    const page = ahead.shift();
    now = page ? page.items : [];
    show(page && page.cells);
    if (now.length || !exhausted) ask();
  }

  function show(cells) {
    out = new Set();
    at = 0;
    keep();
    byId("empty").hidden = Boolean(now.length) || !exhausted;
    byId("board").hidden = !byId("empty").hidden;
    byId("grid").replaceChildren(...(cells || now.map(cell)));
    draw();
    shownAt = performance.now();
    takeOutUnseen();
  }

  const images = () => [...byId("grid").querySelectorAll("img")];
  const isSeen = () => images().every((each) => each.complete);

  // What did not come, or is no picture, nobody has seen: it is not said of.
  function takeOutUnseen() {
    for (const image of images()) {
      if (image.complete && !image.naturalWidth) out.add(image.parentNode.dataset.sha256);
      else image.addEventListener("error", takeOutUnseen, { once: true });
    }
    draw();
  }

  function cell(item, index) {
    const button = document.createElement("button"), image = document.createElement("img"), foot = document.createElement("span");
    button.className = `cell ${item.suggested ? keys.colourOf(item.suggested) : ""}`;
    button.classList.toggle("hesitates", item.unsure);
    button.dataset.sha256 = item.sha256;
    button.tabIndex = index ? -1 : 0;
    image.src = address(item.sha256, "thumb");
    image.alt = said.text("picture_n", { n: index + 1 });
    image.draggable = false;
    foot.textContent = item.suggested ? `${Math.min(99, Math.round(item.confidence * 100))} %` : "";
    button.append(image, foot);
    return button;
  }

  function draw() {
    [...byId("grid").children].forEach((each, index) => {
      const isOut = out.has(each.dataset.sha256);
      each.classList.toggle("out", isOut);
      each.classList.toggle("at", index === at);
      each.setAttribute("aria-pressed", String(!isOut));
    });
    const category = suggestion(), n = rest().length;
    byId("accept").disabled = !category || !n;
    byId("accept-text").textContent = category ? said.text("accept", { n, name: category }) : said.text("no_suggestion");
    byId("accept").className = `primary accept ${category ? keys.colourOf(category) : ""}`;
    byId("heading").textContent = now.length ? said.text("heading", { n: now.length, out: out.size }) : "\u00a0";
    bench.querySelectorAll(".suggested").forEach((each) => each.classList.remove("suggested"));
    const button = category && [...bench.querySelectorAll("[data-word]")].find((each) => each.dataset.word === category);
    if (button) button.classList.add("suggested");
  }

  function keep() {
    sessionStorage.setItem("grid.now", JSON.stringify(now));
    sessionStorage.setItem("grid.passed", JSON.stringify(passed));
    sessionStorage.setItem("grid.history", JSON.stringify(history));
  }

  // --- what a person does ---

  function act(what, event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS(), ArrowDown: COLUMNS() };
    if (what in moves) {
      event.preventDefault();
      return move(moves[what]);
    }
    if (what === " " || what === "x") {
      event.preventDefault();
      return toggle(now[at]);
    }
    if (what === "Enter") return suggestion() && say(suggestion());
    if (what === "undo") return undo();
    if (what === "skip") return pass();
    if (what === "zoom") return zoom(now[at] && now[at].sha256);
    if (words.includes(what)) say(what);
  }

  function move(by) {
    if (at + by < 0 || at + by >= now.length) return;
    at += by;
    draw();
  }

  function toggle(item) {
    if (!item) return;
    if (!out.delete(item.sha256)) out.add(item.sha256);
    takeOutUnseen();
  }

  function say(word) {
    const labelled = rest();
    if (!labelled.length || !isSeen()) return;
    const key = said.random(), took_ms = Math.round(performance.now() - shownAt);
    history.push({ key, items: now, out: [...out], n: labelled.length });
    history = history.slice(-30);
    passed = [...passed, ...now.map((item) => item.sha256)].slice(-MOST_PASSED);
    figures.counted(labelled.length, labelled.length);
    byId("last").textContent = said.text("last", { n: labelled.length, name: said.text(`word_${word}`) || word });
    said.enqueue(bench.dataset.manyUrl, {
      key, took_ms,
      labels: labelled.map((item) => ({ sha256: item.sha256, category: word, version: item.version, suggested_by: item.suggested_by || "" })),
    });
    turn();
  }

  function pass() {
    passed = [...passed, ...now.map((item) => item.sha256)].slice(-MOST_PASSED);
    turn();
  }

  function undo() {
    const last = history.pop();
    if (last) {
      figures.counted(-last.n, -last.n);
      last.items.forEach((item) => said.versions.delete(item.sha256));
      if (now.length) prepare(now, true);
      back(last.items.map((item) => ({ ...item, version: null })));
      out = new Set(last.out);
      takeOutUnseen();
    }
    byId("last").textContent = "";
    said.enqueue(bench.dataset.undoUrl, { key: said.random(), of: last ? last.key : "", shown: Boolean(last) });
  }

  function back(items) {
    if (!items.length) return;
    const gone = new Set(items.map((item) => item.sha256));
    passed = passed.filter((sha256) => !gone.has(sha256));
    now = items;
    show();
  }

  byId("grid").addEventListener("click", (event) => {
    const button = event.target.closest(".cell");
    if (!button) return;
    at = [...byId("grid").children].indexOf(button);
    toggle(now[at]);
  });
  byId("grid").addEventListener("pointerover", (event) => {
    const button = event.target.closest(".cell");
    if (!button || event.pointerType === "touch") return;
    at = [...byId("grid").children].indexOf(button);
    draw();
  });
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === keys.zoomKey && zoom(null));
  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word);
  });
  byId("accept").addEventListener("click", () => suggestion() && say(suggestion()));
  byId("pass").addEventListener("click", pass);
  byId("undo").addEventListener("click", undo);
  byId("look").addEventListener("click", () => { exhausted = false; passed = []; ask(); });
  setInterval(() => { if (!now.length) ask(); }, 15000);

  said.send();
  if (now.length) show();
  ask();
})();
