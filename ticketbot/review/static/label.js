// The Label page. What is said goes into a queue in localStorage first and to the server from there, one after the
// other: a lost connection, a reload or a closed lid loses nothing, and the key of each event keeps it single.
"use strict";
(() => {
  const bench = document.getElementById("label");
  const byId = (id) => document.getElementById(id);
  const keys = JSON.parse(bench.dataset.keys); // [[category, key], …]: an object would lose the order
  const categories = keys.map(([category]) => category);
  const words = [...categories, "junk", "skip", "unsure"];
  const who = bench.dataset.who;
  const csrf = document.querySelector("meta[name=csrf-token]").content;
  const WANTED = 16, LOW = 8, AHEAD = 4, PAST = 5, RATE_OVER_MS = 120000;

  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  // One id for each open page: the server holds our pictures for it. A reload keeps it, a second tab has its own.
  const page = sessionStorage.getItem("page") || random();
  sessionStorage.setItem("page", page);

  let items = JSON.parse(sessionStorage.getItem("items") || "[]");
  let history = JSON.parse(sessionStorage.getItem("history") || "[]");
  let progress = JSON.parse(bench.dataset.progress);
  let shownAt = performance.now();
  let asking = false, sending = false, exhausted = false, waitMs = 1000, timer = 0;
  const images = new Map();
  const versions = new Map();

  // --- the queue of what was said ---

  const PREFIX = `ticketbot.said.${who}.`;
  const queued = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).sort();

  function enqueue(url, body) {
    const name = `${PREFIX}${Date.now().toString(36).padStart(10, "0")}.${String(counter()).padStart(6, "0")}.${body.key}`;
    localStorage.setItem(name, JSON.stringify({ url, body }));
    send();
  }

  function counter() {
    const next = Number(sessionStorage.getItem("counter") || 0) + 1;
    sessionStorage.setItem("counter", next);
    return next % 1000000;
  }

  async function post(url, body) {
    return fetch(url, {
      method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
      body: JSON.stringify(body), credentials: "same-origin",
    });
  }

  async function send() {
    if (sending) return;
    sending = true;
    clearTimeout(timer);
    try {
      for (let name = queued()[0]; name; name = queued()[0]) {
        const said = JSON.parse(localStorage.getItem(name));
        if (versions.has(said.body.sha256)) said.body.version = versions.get(said.body.sha256);
        drawWaiting();
        const reply = await post(said.url, said.body);
        if (reply.status === 401) return trouble("You are signed out.", "Sign in again", bench.dataset.loginUrl);
        if (reply.status === 400 && (await reply.clone().json().catch(() => ({}))).code === "csrf") {
          return trouble("This page is out of date.", "Load it again", location.pathname);
        }
        if (reply.status === 429 || reply.status >= 500) throw new Error(`status ${reply.status}`);
        localStorage.removeItem(name);
        answered(said, reply.ok, await reply.json().catch(() => ({})));
        waitMs = 1000;
        trouble("");
      }
    } catch {
      trouble("No connection. What you say is kept here and sent later.");
      timer = setTimeout(send, waitMs);
      waitMs = Math.min(waitMs * 2, 15000);
    } finally {
      sending = false;
      drawWaiting();
      drawPast();
    }
  }

  function answered(said, ok, reply) {
    const isUndo = said.url === bench.dataset.undoUrl;
    if (ok && reply.version !== undefined) versions.set(reply.sha256, reply.version);
    if (ok && isUndo) takenBack(said, reply.item);
    count(reply.progress);
    if (!ok) {
      tell(reply.detail || "This was not accepted.");
      history = history.filter((each) => each.key !== said.body.key);
    }
  }

  // The server's word on an item we may already show again.
  function takenBack(said, item) {
    versions.set(item.sha256, item.version);
    const known = items.find((each) => each.sha256 === item.sha256);
    if (known) {
      known.version = item.version;
    } else {
      items.unshift(item);
      show();
    }
  }

  // --- pictures ---

  const address = (sha256, size) => `/picture/${sha256}.jpg?size=${size}`;

  function prefetch() {
    for (const item of items.slice(0, AHEAD + 1)) {
      if (images.has(item.sha256)) continue;
      const image = new Image();
      image.alt = "";
      image.decoding = "async";
      image.src = address(item.sha256, "page");
      images.set(item.sha256, image);
    }
    const near = new Set(items.slice(0, AHEAD + 1).map((item) => item.sha256));
    for (const sha256 of images.keys()) if (!near.has(sha256)) images.delete(sha256);
  }

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const reply = await post(bench.dataset.nextUrl, { page, n: WANTED, have: items.map((item) => item.sha256) });
      if (reply.status === 401) return trouble("You are signed out.", "Sign in again", bench.dataset.loginUrl);
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const found = await reply.json();
      // What waits in the queue, or was sent a moment ago, is said already, whatever the server knew when it answered.
      const waiting = queued().map((name) => JSON.parse(localStorage.getItem(name)).body.sha256);
      const said = new Set([...waiting, ...history.map((each) => each.item.sha256)]);
      const held = new Set(found.items.map((item) => item.sha256));
      const first = items[0] && held.has(items[0].sha256) ? items[0].sha256 : null;
      items = items.filter((item) => held.has(item.sha256));
      const known = new Set(items.map((item) => item.sha256));
      items.push(...found.items.filter((item) => !known.has(item.sha256) && !said.has(item.sha256) && !item.category));
      exhausted = found.items.length < WANTED;
      count(found.progress);
      if (!items[0] || items[0].sha256 !== first || !byId("frame").querySelector("img")) show(); else prefetch();
      drawFigures();
    } catch {
      if (!items.length) trouble("No connection. Trying again.");
      setTimeout(ask, 3000);
    } finally {
      asking = false;
    }
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
    image.alt = "Picture to label";
    image.onerror = () => broken(image);
    byId("frame").prepend(image);
    if (image.complete && !image.naturalWidth) broken(image);
    shownAt = performance.now();
    if (items.length < LOW && !exhausted) ask();
  }

  function broken(image) {
    if (!image.isConnected) return;
    const said = document.createElement("p");
    said.className = "broken";
    said.textContent = "This file cannot be shown as a picture. Press j if it is junk, s to leave it.";
    image.replaceWith(said);
  }

  function drawSuggestion(item) {
    const frame = byId("frame"), says = byId("says");
    frame.className = "frame";
    bench.querySelectorAll(".suggested").forEach((each) => each.classList.remove("suggested"));
    says.replaceChildren();
    if (!item || !item.suggested) {
      says.textContent = item ? (item.blind ? "No suggestion for this one: it measures the model." : "No suggestion.") : "\u00a0";
      says.classList.toggle("muted", true);
      return;
    }
    const index = categories.indexOf(item.suggested);
    frame.classList.add("suggests", `c${index < 0 ? 7 : index % 8}`);
    frame.classList.toggle("hesitates", item.unsure);
    const dot = document.createElement("span"), name = document.createElement("b"), share = document.createElement("span");
    dot.className = `dot c${index < 0 ? 7 : index % 8}`;
    name.textContent = item.suggested;
    share.textContent = `${Math.min(99, Math.round(item.confidence * 100))} %${item.unsure ? ", the model would ask a person" : ""}`;
    says.classList.remove("muted");
    says.append(dot, name, share);
    const button = button_of(item.suggested);
    if (button) button.classList.add("suggested");
  }

  // --- what a person does ---

  const button_of = (word) => [...bench.querySelectorAll("[data-word]")].find((each) => each.dataset.word === word);

  function say(word) {
    const item = items[0];
    if (!item || byId("help").open) return;
    const key = random(), took_ms = Math.round(performance.now() - shownAt);
    items.shift();
    history.push({ key, item, word, at: Date.now() });
    history = history.slice(-200);
    keep();
    if (word !== "skip" && word !== "unsure") {
      progress.left = Math.max(0, progress.left - 1);
      progress.until_training = Math.max(0, progress.until_training - 1);
    }
    press(button_of(word));
    show();
    drawFigures();
    drawPast();
    enqueue(bench.dataset.labelUrl, {
      sha256: item.sha256, category: word, key, version: item.version, took_ms,
      suggested_by: item.suggested_by || "",
    });
  }

  function undo() {
    const last = history.pop();
    if (last) {
      items.unshift({ ...last.item, version: null });
      if (last.word !== "skip" && last.word !== "unsure") progress.left += 1, progress.until_training += 1;
      versions.delete(last.item.sha256);
      exhausted = exhausted && items.length > 1;
      show();
    }
    press(byId("undo"));
    drawFigures();
    drawPast();
    enqueue(bench.dataset.undoUrl, { key: random(), of: last ? last.key : "", page });
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

  // --- figures ---

  // The server's figures, unless it has not heard everything yet: then ours are nearer.
  function count(figures) {
    if (!figures || queued().length) return;
    progress = figures;
    drawFigures();
  }

  function drawFigures() {
    byId("left").textContent = progress.left.toLocaleString("en");
    byId("until").textContent = progress.until_training ? progress.until_training.toLocaleString("en") : "due";
    const recent = history.filter((each) => Date.now() - each.at < RATE_OVER_MS);
    const span = recent.length > 2 ? Date.now() - recent[0].at : 0;
    byId("rate").textContent = span > 1000 ? Math.round((recent.length * 60000) / span) : "–";
  }

  function drawPast() {
    const waiting = new Set(queued().map((name) => JSON.parse(localStorage.getItem(name)).body.key));
    byId("past").replaceChildren(...history.slice(-PAST).reverse().map((each) => {
      const row = document.createElement("li"), image = new Image(), text = document.createElement("span");
      image.src = address(each.item.sha256, "page"); // the browser has it already
      image.alt = "";
      text.textContent = each.word;
      text.className = waiting.has(each.key) ? "unsent" : "";
      row.append(image, text);
      return row;
    }));
    byId("past").previousElementSibling.hidden = !history.length;
  }

  function drawWaiting() {
    const count = queued().length;
    byId("waiting").textContent = count > 1 ? `${count} to send` : "";
  }

  function trouble(text, link, address_) {
    const box = byId("trouble");
    box.hidden = !text;
    box.textContent = text ? `${text} ` : "";
    if (link) {
      const to = document.createElement("a");
      to.href = address_;
      to.textContent = link;
      box.append(to);
    }
  }

  function tell(text) {
    trouble(text);
    setTimeout(() => trouble(""), 6000);
  }

  // --- zoom: one picture pixel is one screen pixel, under the pointer ---

  let pointer = { x: 0.5, y: 0.5 };

  function zoom(on) {
    const lens = byId("lens"), item = items[0];
    if (!on || !item) {
      lens.hidden = true;
      return lens.replaceChildren();
    }
    if (!lens.hidden) return;
    const image = new Image();
    image.alt = "";
    image.onload = place;
    image.src = address(item.sha256, "zoom");
    lens.replaceChildren(image);
    lens.hidden = false;
    place();
  }

  function place() {
    const lens = byId("lens"), image = lens.querySelector("img");
    if (!image || !image.naturalWidth) return;
    const move = (room, size, at) => (size <= room ? (room - size) / 2 : (room - size) * at);
    const scale = 1 / devicePixelRatio;
    image.style.width = `${image.naturalWidth * scale}px`;
    image.style.left = `${move(lens.clientWidth, image.naturalWidth * scale, pointer.x)}px`;
    image.style.top = `${move(lens.clientHeight, image.naturalHeight * scale, pointer.y)}px`;
  }

  byId("frame").addEventListener("pointermove", (event) => {
    const box = byId("frame").getBoundingClientRect();
    pointer = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    place();
  });
  byId("frame").addEventListener("pointerdown", () => zoom(true));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) byId("frame").addEventListener(name, () => zoom(false));

  // --- keys and buttons ---

  const wordOfKey = new Map([["j", "junk"], ["s", "skip"], ["n", "unsure"]]);
  keys.forEach(([category, key], index) => {
    if (key) wordOfKey.set(key, category);
    if (index < 9) wordOfKey.set(String(index + 1), category);
  });

  document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey) {
      event.preventDefault();
      return undo();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") return help();
    if (byId("help").open) return;
    if (key === "z") return zoom(true);
    if (event.repeat) return;
    if (key === "u") return undo();
    if (wordOfKey.has(key)) say(wordOfKey.get(key));
  });
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === "z" && zoom(false));
  window.addEventListener("blur", () => zoom(false));
  bench.addEventListener("click", (event) => {
    const button = event.target.closest("[data-word]");
    if (button && words.includes(button.dataset.word)) say(button.dataset.word);
  });
  byId("undo").addEventListener("click", undo);
  byId("help-button").addEventListener("click", help);
  byId("look").addEventListener("click", () => { exhausted = false; ask(); });
  window.addEventListener("online", send);
  setInterval(() => { if (!items.length || items.length < LOW) ask(); }, 15000);
  // Renew the lease of what is on the page while somebody looks at it.
  setInterval(() => { if (items.length && document.visibilityState === "visible") ask(); }, 240000);

  function help() {
    const box = byId("help");
    if (box.open) box.close(); else box.showModal();
  }

  drawFigures();
  drawPast();
  send();
  ask();
})();
