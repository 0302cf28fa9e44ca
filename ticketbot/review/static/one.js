// One picture at a time: which pictures this page holds, the next ones loaded already, what was said last, and undo.
// Label and Clean use it; what differs is in `rules`:
//   store                       the name under which a reload finds what this page holds
//   wanted, low, ahead, past    pictures to hold, to ask for more at, to load ahead; words to show
//   asks()                      what a question for pictures says besides
//   draw(item)                  what stands around a picture; without one: nothing
//   heard(progress)             the server's figures
//   moved(item, word, by)       a word was said (1) or taken back (-1)
//   whole                       the server's answer to an undo is all there is to a picture; if not, we ask for it
"use strict";
function OneAtATime(bench, said, keys, rules) {
  const byId = (id) => document.getElementById(id);
  const AGAIN_MS = 2000, MOST_SAID = 200;
  const frame = byId("frame"), zoom = Lens(frame, byId("lens"));
  const stored = (name) => JSON.parse(sessionStorage.getItem(`${rules.store}.${name}`) || "[]");
  // Not on Clean: what is on two lists and was decided on the other one must not come back.
  let items = rules.whole ? stored("items") : [], history = stored("history");
  let asking = false, exhausted = false, isLost = false, shownAt = performance.now();
  const images = new Map();

  const address = (sha256, size) => `/picture/${sha256}.jpg?size=${size}`;
  const buttonOf = (word) => [...bench.querySelectorAll("[data-word]")].find((each) => each.dataset.word === word);
  const isVisible = () => document.visibilityState === "visible";

  function answered(post, ok, reply, status) {
    if (!post) return drawPast();
    const isOurs = post.body.page === said.page;
    if (ok && isOurs && post.url === bench.dataset.undoUrl) takenBack(reply.items || []);
    if (!ok && isOurs) refused(post.body.key, status);
    if (reply.progress && !said.queued().length) rules.heard(reply.progress);
  }

  // The server's word on items we may already show again.
  function takenBack(back) {
    const missing = [];
    for (const item of back.slice().reverse()) {
      const known = items.find((each) => each.sha256 === item.sha256);
      if (known) known.version = item.version; else missing.push(item);
    }
    if (rules.whole) items.unshift(...missing.reverse());
    else if (missing.length) lookAgain();
    if (missing.length) show();
  }

  // Nobody has said it then. What this page got wrong (400: a class that is gone) is shown again.
  function refused(key, status) {
    const known = history.find((each) => each.key === key);
    history = history.filter((each) => each.key !== key);
    if (!known || status !== 400) return keep();
    items.unshift({ ...known.item, version: null });
    show();
  }

  // --- pictures ---

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const have = items.map((item) => item.sha256);
      const reply = await said.post(bench.dataset.nextUrl, {
        page: said.page, n: rules.wanted, have, passed: [...said.waiting()].slice(-500), ...rules.asks(history),
      });
      if (await said.turnedAway(reply)) return;
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      if (isLost) said.say("");
      isLost = false;
      take(await reply.json(), new Set(have));
    } catch {
      if (!items.length) said.say(said.text("no_connection"));
      isLost = !items.length;
      setTimeout(ask, 3000);
    } finally {
      asking = false;
    }
  }

  function take(found, asked) {
    // What waits in the queue, or was sent a moment ago, is said already, whatever the server knew when it answered.
    const done = new Set([...said.waiting(), ...history.map((each) => each.item.sha256)]);
    const held = new Set(found.items.map((item) => item.sha256));
    const first = items[0];
    // Asked for and not given: somebody else holds it now.
    items = items.filter((item) => held.has(item.sha256) || !asked.has(item.sha256));
    const known = new Set(items.map((item) => item.sha256));
    items.push(...found.items.filter((item) => !known.has(item.sha256) && !done.has(item.sha256) && !item.category));
    exhausted = found.items.length < rules.wanted;
    if (!said.queued().length) rules.heard(found.progress);
    if (!items[0] || items[0] !== first || !isShown()) show(); else prefetch();
  }

  function prefetch() {
    const near = items.slice(0, rules.ahead + 1);
    for (const item of near) {
      if (images.has(item.sha256)) continue;
      images.set(item.sha256, load(item.sha256));
      for (const other of item.beside || []) new Image().src = address(other.sha256, "thumb");
    }
    const wanted = new Set(near.map((item) => item.sha256));
    for (const sha256 of images.keys()) if (!wanted.has(sha256)) images.delete(sha256);
  }

  function load(sha256) {
    const image = new Image();
    image.alt = said.text("picture");
    image.decoding = "sync";
    image.src = address(sha256, "page");
    image.decode().catch(() => {}); // decoded before it is needed; a broken one says so when it is shown
    return image;
  }

  function show() {
    keep();
    const item = items[0];
    byId("empty").hidden = Boolean(item) || !exhausted;
    frame.hidden = byId("says").hidden = !byId("empty").hidden;
    clear();
    byId("loading").hidden = Boolean(item);
    frame.className = "frame";
    bench.querySelectorAll(".suggested, .is").forEach((each) => each.classList.remove("suggested", "is"));
    rules.draw(item);
    if (!item) return exhausted ? undefined : ask();
    prefetch();
    place(item, images.get(item.sha256));
    if (items.length < rules.low && !exhausted) ask();
  }

  function clear() {
    frame.querySelectorAll(":scope > img, .broken").forEach((each) => each.remove());
  }

  const isShown = () => frame.querySelector(":scope > img, .broken");
  // What nobody can see yet, nobody can name.
  function isSeen() {
    const image = frame.querySelector(":scope > img");
    return Boolean(image ? image.complete && image.naturalWidth : frame.querySelector(".broken.final"));
  }

  function place(item, image) {
    image.onload = () => { shownAt = performance.now(); };
    image.onerror = () => missing(item, image);
    frame.prepend(image);
    shownAt = performance.now();
    if (image.complete && !image.naturalWidth) missing(item, image);
  }

  // No picture came. Is it none, or did it not arrive?
  async function missing(item, image) {
    if (!image.isConnected) return void images.delete(item.sha256);
    const reply = await fetch(image.src, { credentials: "same-origin" }).catch(() => null);
    if (items[0] !== item || !image.isConnected) return;
    const isFinal = reply && [400, 404, 413, 415, 422].includes(reply.status);
    const told = document.createElement("p");
    told.className = isFinal ? "broken final" : "broken";
    told.textContent = isFinal ? said.text("broken", { junk: keys.actions.junk, skip: keys.actions.skip }) : said.text("fetching");
    image.replaceWith(told);
    images.delete(item.sha256);
    if (isFinal || (reply && (await said.turnedAway(reply)))) return;
    setTimeout(() => {
      if (items[0] !== item || !told.isConnected) return;
      clear();
      images.set(item.sha256, load(item.sha256));
      place(item, images.get(item.sha256));
    }, AGAIN_MS);
  }

  // --- what a person does ---

  // -> the body of what is said, for whoever knows what else belongs to it; null when there is nothing to say it of
  function say(word, gone = []) {
    const item = items[0];
    if (!item || (word !== "skip" && !isSeen())) return null;
    const key = said.random(), took_ms = Math.round(performance.now() - shownAt);
    zoom(null);
    history.push({ key, item, word });
    history = history.slice(-MOST_SAID);
    const passed = new Set([item.sha256, ...gone]);
    items = items.filter((each) => !passed.has(each.sha256));
    rules.moved(item, word, 1);
    press(buttonOf(word));
    show();
    drawPast();
    return { sha256: item.sha256, category: word, key, version: item.version, took_ms };
  }

  function undo() {
    const last = history.pop();
    if (last) {
      items = [{ ...last.item, version: null }, ...items.filter((each) => each.sha256 !== last.item.sha256)];
      said.versions.delete(last.item.sha256);
      rules.moved(last.item, last.word, -1);
      exhausted = exhausted && items.length > 1;
      show();
    }
    press(byId("undo"));
    drawPast();
    said.enqueue(bench.dataset.undoUrl, { key: said.random(), of: last ? last.key : "" });
  }

  function press(button) {
    if (!button) return;
    button.classList.add("pressed");
    setTimeout(() => button.classList.remove("pressed"), 120);
  }

  function keep() {
    sessionStorage.setItem(`${rules.store}.items`, JSON.stringify(items));
    sessionStorage.setItem(`${rules.store}.history`, JSON.stringify(history));
  }

  function drawPast() {
    const waiting = said.waiting();
    byId("past").replaceChildren(...history.slice(-rules.past).reverse().map((each) => {
      const line = document.createElement("li"), image = document.createElement("img"), name = document.createElement("span");
      image.src = address(each.item.sha256, "page"); // the one that was shown: nothing is fetched, nothing is made
      image.alt = "";
      name.textContent = said.text(`word_${each.word}`) || each.word;
      if (waiting.has(each.item.sha256)) name.className = "unsent";
      line.append(image, name);
      return line;
    }));
  }

  function lookAgain() {
    exhausted = false;
    ask();
  }

  const zoomFirst = () => zoom(items[0] && items[0].sha256);
  frame.addEventListener("pointerdown", zoomFirst);
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) frame.addEventListener(name, () => zoom(null));
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === keys.zoomKey && zoom(null));
  byId("undo").addEventListener("click", undo);
  byId("look").addEventListener("click", lookAgain);
  addEventListener("pageshow", (event) => event.persisted && ask());
  setInterval(() => { if (items.length < rules.low && isVisible()) ask(); }, 15000);
  // Renew the lease of what is on the page while somebody looks at it.
  setInterval(() => { if (items.length && isVisible()) ask(); }, 240000);

  function begin() {
    drawPast();
    said.send();
    ask();
  }
  return { answered, begin, say, undo, zoom: zoomFirst, buttonOf, address, first: () => items[0] };
}
