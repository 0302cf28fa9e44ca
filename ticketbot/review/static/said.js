// What people say goes into a queue in localStorage first and to the server from there, one after the other: a lost
// connection, a reload or a closed lid loses nothing, and the key of each post keeps it single. All review pages use it.
"use strict";
function Said(root, answered) {
  const csrf = document.querySelector("meta[name=csrf-token]").content;
  const texts = JSON.parse(root.dataset.texts);
  const PREFIX = `ticketbot.said.${root.dataset.who}.`;
  const versions = new Map();
  const trouble = document.getElementById("trouble");
  let sending = false, waitMs = 1000, timer = 0;

  const text = (name, values = {}) => Object.entries(values).reduce((all, [key, value]) => all.replaceAll(`{${key}}`, value), texts[name]);
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  const queued = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).sort();
  const hashesOf = (body) => (body.labels ? body.labels.map((one) => one.sha256) : [body.sha256]);
  // Said, but the server has perhaps not heard of it: whatever it answers meanwhile, these are not to be shown again.
  const waiting = () => new Set(queued().flatMap((name) => hashesOf(JSON.parse(localStorage.getItem(name)).body)));

  function counter() {
    const next = Number(sessionStorage.getItem("counter") || 0) + 1;
    sessionStorage.setItem("counter", next);
    return next % 1000000;
  }

  function enqueue(url, body) {
    const name = `${PREFIX}${Date.now().toString(36).padStart(10, "0")}.${String(counter()).padStart(6, "0")}.${body.key}`;
    localStorage.setItem(name, JSON.stringify({ url, body }));
    send();
  }

  function post(url, body) {
    return fetch(url, {
      method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
      body: JSON.stringify(body), credentials: "same-origin",
    });
  }

  function upToDate(body) {
    for (const one of body.labels || [body]) if (versions.has(one.sha256)) one.version = versions.get(one.sha256);
    return body;
  }

  async function send() {
    if (sending) return;
    sending = true;
    clearTimeout(timer);
    try {
      for (let name = queued()[0]; name; name = queued()[0]) {
        const said = JSON.parse(localStorage.getItem(name));
        drawWaiting();
        const reply = await post(said.url, upToDate(said.body));
        if (await turnedAway(reply)) return;
        if (reply.status === 429 || reply.status >= 500) throw new Error(`status ${reply.status}`);
        localStorage.removeItem(name);
        heard(said, reply.ok, await reply.json().catch(() => ({})));
        waitMs = 1000;
        say("");
      }
    } catch {
      say(text("offline"));
      timer = setTimeout(send, waitMs);
      waitMs = Math.min(waitMs * 2, 15000);
    } finally {
      sending = false;
      drawWaiting();
      answered(null);
    }
  }

  function heard(said, ok, reply) {
    if (ok && reply.version !== undefined) versions.set(reply.sha256, reply.version);
    if (ok && reply.versions) Object.entries(reply.versions).forEach(([sha256, version]) => versions.set(sha256, version));
    if (ok && reply.items) reply.items.forEach((item) => versions.set(item.sha256, item.version));
    answered(said, ok, reply);
    if (!ok) tell(reply.detail || text("refused"));
    else if (reply.refused && Object.keys(reply.refused).length) tell(text("some_refused", { n: Object.keys(reply.refused).length }));
  }

  // Signed out, or the page is older than the session: what was said stays in the queue. -> true then
  async function turnedAway(reply) {
    if (reply.status === 401) {
      say(text("signed_out"), text("sign_in"), root.dataset.loginUrl);
      return true;
    }
    if (reply.status === 400 && (await reply.clone().json().catch(() => ({}))).code === "csrf") {
      say(text("stale"), text("load_again"), location.pathname);
      return true;
    }
    return false;
  }

  function say(message, link = "", href = "") {
    trouble.hidden = !message;
    trouble.textContent = message;
    if (!link) return;
    const anchor = document.createElement("a");
    anchor.href = href;
    anchor.textContent = link;
    trouble.append(" ", anchor);
  }

  function tell(message) {
    say(message);
    setTimeout(() => say(""), 6000);
  }

  function drawWaiting() {
    const place = document.getElementById("waiting"), n = queued().length;
    if (place) place.textContent = n ? text("waiting", { n }) : "";
  }

  window.addEventListener("online", send);
  return { enqueue, send, post, queued, waiting, random, versions, text, say, tell, turnedAway, hashesOf };
}
