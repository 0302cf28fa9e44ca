// The Clean page: a label that may be wrong, why, and what looks like it. One key decides; nothing is decided by itself.
"use strict";
(() => {
  const bench = document.getElementById("clean");
  const byId = (id) => document.getElementById(id);
  const WANTED = 12, LOW = 6, AHEAD = 3, PAST = 3, LOOK_MS = 2000;
  const list = bench.dataset.list, language = document.documentElement.lang;
  const said = Said(bench, answered);
  const keys = Keys(bench, said, act);
  const zoom = Lens(byId("frame"), byId("lens"));
  const words = [...keys.categories.map(([category]) => category), "junk", "skip", "unsure", "keep"];
  const page = sessionStorage.getItem("page") || said.random();
  sessionStorage.setItem("page", page);

  let items = [];
  let history = JSON.parse(sessionStorage.getItem(`clean.${list}`) || "[]");
  let progress = JSON.parse(bench.dataset.progress);
  let asking = false, exhausted = false, shownAt = performance.now();
  const images = new Map();
  const address = (sha256, size) => `/picture/${sha256}.jpg?size=${size}`;
  const percent = (share) => (share === null ? "–" : `${Math.min(99, Math.round(share * 100))} %`);

  function answered(post, ok, reply) {
    if (!post) return drawPast();
    if (!ok) history = history.filter((each) => each.key !== post.body.key);
    // Taken back what this page does not remember: the list tells whether it is shown here.
    if (ok && post.url === bench.dataset.undoUrl && !post.body.of) { exhausted = false; ask(); }
    if (ok && reply.progress && reply.progress.lists && !said.queued().length) figures(reply.progress);
  }

  function figures(found) {
    if (found) progress = found;
    byId("left").textContent = progress.left.toLocaleString(language);
    byId("fine").textContent = progress.fine.toLocaleString(language);
    for (const [name, n] of Object.entries(progress.lists)) {
      bench.querySelector(`[data-count="${name}"]`).textContent = n.toLocaleString(language);
    }
    byId("stop").hidden = !progress.stop;
    byId("stop").textContent = progress.stop ? said.text("stop", { n: progress.fine }) : "";
  }

  // --- pictures ---

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const done = [...said.waiting(), ...history.map((each) => each.item.sha256)];
      const reply = await said.post(bench.dataset.nextUrl, { list, page, n: WANTED, have: items.map((item) => item.sha256), passed: done.slice(-500) });
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
    const done = new Set([...said.waiting(), ...history.map((each) => each.item.sha256)]);
    const known = new Set(items.map((item) => item.sha256));
    const was = items[0];
    items.push(...found.items.filter((item) => !known.has(item.sha256) && !done.has(item.sha256)));
    exhausted = found.items.length < WANTED;
    if (!said.queued().length) figures(found.progress);
    if (!was) show(); else prefetch();
  }

  function prefetch() {
    const near = items.slice(0, AHEAD + 1);
    for (const item of near) {
      if (images.has(item.sha256)) continue;
      const image = new Image();
      image.alt = said.text("picture");
      image.src = address(item.sha256, "page");
      image.decode().catch(() => {});
      images.set(item.sha256, image);
      for (const other of item.beside) new Image().src = address(other.sha256, "thumb");
    }
    const wanted = new Set(near.map((item) => item.sha256));
    for (const sha256 of images.keys()) if (!wanted.has(sha256)) images.delete(sha256);
  }

  function show() {
    const item = items[0];
    sessionStorage.setItem(`clean.${list}`, JSON.stringify(history));
    byId("empty").hidden = Boolean(item) || !exhausted;
    byId("frame").hidden = byId("says").hidden = !byId("empty").hidden;
    byId("frame").querySelectorAll(":scope > img").forEach((each) => each.remove());
    byId("loading").hidden = Boolean(item);
    drawWhy(item);
    if (!item) return exhausted ? undefined : ask();
    prefetch();
    byId("frame").prepend(images.get(item.sha256));
    shownAt = performance.now();
    if (items.length < LOW && !exhausted) ask();
  }

  function drawWhy(item) {
    const frame = byId("frame"), beside = byId("beside");
    frame.className = "frame";
    bench.querySelectorAll(".suggested, .is").forEach((each) => each.classList.remove("suggested", "is"));
    byId("says").textContent = item ? why(item) : "\u00a0";
    beside.hidden = !item || !item.beside.length;
    beside.setAttribute("aria-label", said.text("beside"));
    beside.replaceChildren(...(item ? item.beside : []).map((other) => figure(other)));
    if (!item) return;
    if (button_of(item.label)) button_of(item.label).classList.add("is");
    if (!item.suggested || item.suggested === item.label) return;
    frame.classList.add("suggests", keys.colourOf(item.suggested));
    if (button_of(item.suggested)) button_of(item.suggested).classList.add("suggested");
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
    image.src = address(other.sha256, "thumb");
    image.alt = said.text("picture_of", { name: other.label });
    name.textContent = other.label;
    box.append(image, name);
    return box;
  }

  // --- what a person does ---

  const button_of = (word) => [...bench.querySelectorAll("[data-word]")].find((each) => each.dataset.word === word);

  function act(what, event) {
    const together = event.shiftKey || byId("together").checked;
    const digit = /^Digit([1-9])$/.exec(event.code || "");
    if (event.shiftKey && digit && keys.categories[digit[1] - 1]) return say(keys.categories[digit[1] - 1][0], true);
    if (what === "Enter") return say("keep", together);
    if (what === "undo") return undo();
    if (what === "zoom") return zoom(items[0] && items[0].sha256);
    if (words.includes(what) && what !== "keep") say(what, together);
  }

  function say(word, together) {
    const item = items[0];
    if (!item) return;
    const key = said.random(), took_ms = Math.round(performance.now() - shownAt);
    const passes = word === "skip" || word === "unsure";
    // Keeping all keeps those that have this very label; another word is said of all of them.
    const alike = together && !passes ? item.beside.filter((other) => word !== "keep" || other.label === item.label).map((other) => other.sha256) : [];
    zoom(null);
    const gone = new Set([item.sha256, ...alike]);
    history.push({ key, item, word });
    history = history.slice(-100);
    items = items.filter((each) => !gone.has(each.sha256));
    byId("together").checked = false;
    show();
    drawPast();
    said.enqueue(bench.dataset.labelUrl, { list, sha256: item.sha256, category: word, key, version: item.version, took_ms, alike });
  }

  function undo() {
    const last = history.pop();
    if (last) {
      items = [{ ...last.item, version: null }, ...items.filter((each) => each.sha256 !== last.item.sha256)];
      said.versions.delete(last.item.sha256);
      show();
    }
    drawPast();
    said.enqueue(bench.dataset.undoUrl, { key: said.random(), of: last ? last.key : "" });
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

  // --- a cleaning that runs ---

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
  let idle = 0;

  byId("frame").addEventListener("pointerdown", () => zoom(items[0] && items[0].sha256));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) byId("frame").addEventListener(name, () => zoom(null));
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === keys.zoomKey && zoom(null));
  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word, event.shiftKey || byId("together").checked);
  });
  byId("undo").addEventListener("click", undo);
  byId("look").addEventListener("click", () => { exhausted = false; ask(); });

  figures();
  drawPast();
  said.send();
  ask();
  if (bench.dataset.running) watch();
})();
