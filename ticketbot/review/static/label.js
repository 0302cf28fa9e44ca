// The Label page, one picture at a time: a key labels what is shown and shows the next, which is loaded already.
"use strict";
(() => {
  const bench = document.getElementById("label");
  const byId = (id) => document.getElementById(id);
  const WANTED = 16, LOW = 8, AHEAD = 4, PAST = 5;
  const said = Said(bench, answered);
  const keys = Keys(bench, said, act);
  const zoom = Lens(byId("frame"), byId("lens"));
  const figures = Figures(bench, said);
  const words = [...keys.categories.map(([category]) => category), "junk", "skip", "unsure"];

  // One id for each open page: the server holds our pictures for it. A reload keeps it, a second tab has its own.
  const page = sessionStorage.getItem("page") || said.random();
  sessionStorage.setItem("page", page);

  let items = JSON.parse(sessionStorage.getItem("items") || "[]");
  let history = JSON.parse(sessionStorage.getItem("history") || "[]");
  let shownAt = performance.now();
  let asking = false, exhausted = false;
  const images = new Map();

  function answered(post, ok, reply) {
    if (!post) return drawPast();
    if (ok && post.url === bench.dataset.undoUrl) takenBack(reply.items || []);
    if (!ok) history = history.filter((each) => each.key !== post.body.key);
    if (!said.queued().length) figures.take(reply.progress);
  }

  // The server's word on items we may already show again.
  function takenBack(back) {
    for (const item of back.slice().reverse()) {
      const known = items.find((each) => each.sha256 === item.sha256);
      if (known) known.version = item.version;
      else items.unshift(item);
    }
    if (back.length) show();
  }

  // --- pictures ---

  const address = (sha256, size) => `/picture/${sha256}.jpg?size=${size}`;

  function prefetch() {
    for (const item of items.slice(0, AHEAD + 1)) {
      if (images.has(item.sha256)) continue;
      const image = new Image();
      image.alt = "";
      image.decoding = "sync";
      image.src = address(item.sha256, "page");
      image.decode().catch(() => {}); // decoded before it is needed; a broken one says so when it is shown
      images.set(item.sha256, image);
    }
    const near = new Set(items.slice(0, AHEAD + 1).map((item) => item.sha256));
    for (const sha256 of images.keys()) if (!near.has(sha256)) images.delete(sha256);
  }

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const reply = await said.post(bench.dataset.nextUrl, {
        page, n: WANTED, have: items.map((item) => item.sha256), passed: [...said.waiting()].slice(-500),
      });
      if (await said.turnedAway(reply)) return;
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      take(await reply.json());
    } catch {
      if (!items.length) said.say(said.text("no_connection"));
      setTimeout(ask, 3000);
    } finally {
      asking = false;
    }
  }

  function take(found) {
    // What waits in the queue, or was sent a moment ago, is said already, whatever the server knew when it answered.
    const done = new Set([...said.waiting(), ...history.map((each) => each.item.sha256)]);
    const held = new Set(found.items.map((item) => item.sha256));
    const first = items[0] && held.has(items[0].sha256) ? items[0].sha256 : null;
    items = items.filter((item) => held.has(item.sha256));
    const known = new Set(items.map((item) => item.sha256));
    items.push(...found.items.filter((item) => !known.has(item.sha256) && !done.has(item.sha256) && !item.category));
    exhausted = found.items.length < WANTED;
    if (!said.queued().length) figures.take(found.progress);
    if (!items[0] || items[0].sha256 !== first || !byId("frame").querySelector("img")) show(); else prefetch();
  }

  function show() {
    keep();
    const item = items[0];
    byId("empty").hidden = Boolean(item) || !exhausted;
    byId("frame").hidden = byId("says").hidden = !byId("empty").hidden;
    byId("frame").querySelectorAll(":scope > img, .broken").forEach((each) => each.remove());
    byId("loading").hidden = Boolean(item);
    drawSuggestion(item);
    if (!item) return exhausted ? undefined : ask();
    prefetch();
    const image = images.get(item.sha256);
    image.alt = said.text("picture");
    image.onerror = () => broken(image);
    byId("frame").prepend(image);
    if (image.complete && !image.naturalWidth) broken(image);
    shownAt = performance.now();
    if (items.length < LOW && !exhausted) ask();
  }

  function broken(image) {
    if (!image.isConnected) return;
    const told = document.createElement("p");
    told.className = "broken";
    told.textContent = said.text("broken", { junk: keys.actions.junk, skip: keys.actions.skip });
    image.replaceWith(told);
  }

  function drawSuggestion(item) {
    const frame = byId("frame"), says = byId("says");
    frame.className = "frame";
    bench.querySelectorAll(".suggested").forEach((each) => each.classList.remove("suggested"));
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
    const button = button_of(item.suggested);
    if (button) button.classList.add("suggested");
  }

  // --- what a person does ---

  const button_of = (word) => [...bench.querySelectorAll("[data-word]")].find((each) => each.dataset.word === word);

  function act(what) {
    if (what === "undo") return undo();
    if (what === "zoom") return zoom(items[0] && items[0].sha256);
    if (words.includes(what)) say(what);
  }

  function say(word) {
    const item = items[0];
    if (!item) return;
    const key = said.random(), took_ms = Math.round(performance.now() - shownAt);
    zoom(null);
    items.shift();
    history.push({ key, item, word, at: Date.now() });
    history = history.slice(-200);
    if (word !== "skip" && word !== "unsure") figures.counted(1, item.second ? 0 : 1);
    press(button_of(word));
    show();
    drawPast();
    said.enqueue(bench.dataset.labelUrl, {
      sha256: item.sha256, category: word, key, version: item.version, took_ms, suggested_by: item.suggested_by || "",
    });
  }

  function undo() {
    const last = history.pop();
    if (last) {
      items.unshift({ ...last.item, version: null });
      if (last.word !== "skip" && last.word !== "unsure") figures.counted(-1, last.item.second ? 0 : -1);
      said.versions.delete(last.item.sha256);
      exhausted = exhausted && items.length > 1;
      show();
    }
    press(byId("undo"));
    drawPast();
    said.enqueue(bench.dataset.undoUrl, { key: said.random(), of: last ? last.key : "", page });
  }

  function press(button) {
    if (!button) return;
    button.classList.add("pressed");
    setTimeout(() => button.classList.remove("pressed"), 120);
  }

  function keep() {
    sessionStorage.setItem("items", JSON.stringify(items));
    sessionStorage.setItem("history", JSON.stringify(history));
  }

  function drawPast() {
    const waiting = said.waiting();
    byId("past").replaceChildren(...history.slice(-PAST).reverse().map((each) => {
      const line = document.createElement("li"), image = document.createElement("img"), name = document.createElement("span");
      image.src = address(each.item.sha256, "thumb");
      image.alt = "";
      name.textContent = said.text(`word_${each.word}`) || each.word;
      if (waiting.has(each.item.sha256)) name.className = "unsent";
      line.append(image, name);
      return line;
    }));
  }

  byId("frame").addEventListener("pointerdown", () => zoom(items[0] && items[0].sha256));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) byId("frame").addEventListener(name, () => zoom(null));
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === keys.zoomKey && zoom(null));
  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word);
  });
  byId("undo").addEventListener("click", undo);
  byId("look").addEventListener("click", () => { exhausted = false; ask(); });
  setInterval(() => { if (items.length < LOW) ask(); }, 15000);
  // Renew the lease of what is on the page while somebody looks at it.
  setInterval(() => { if (items.length && document.visibilityState === "visible") ask(); }, 240000);

  drawPast();
  said.send();
  ask();
})();
