// What people say goes into a queue in localStorage first and to the server from there, one after the other: a lost
// connection, a reload or a closed lid loses nothing, and the key of each post keeps it single. All review pages use it.
"use strict";
function Said(root, answered) {
  const csrf = document.querySelector("meta[name=csrf-token]").content;
  const texts = JSON.parse(root.dataset.texts);
  const PREFIX = `ticketbot.said.${root.dataset.who}.`;
  const WAIT_MS = 1000, MOST_WAIT_MS = 15000, ANSWER_MS = 30000, TOLD_MS = 6000;
  const versions = new Map();
  const trouble = document.getElementById("trouble");
  let sending = false, waitMs = WAIT_MS, timer = 0, told = 0, stale = false;

  const text = (name, values = {}) => Object.entries(values).reduce((all, [key, value]) => all.replaceAll(`{${key}}`, value), texts[name]);
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  const queued = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).sort();
  const hashesOf = (body) => (body.labels ? body.labels.map((one) => one.sha256) : [body.sha256]);
  const read = (name) => JSON.parse(localStorage.getItem(name));
  // Said, but the server has perhaps not heard of it: whatever it answers meanwhile, these are not to be shown again.
  const waiting = () => new Set(queued().map(read).filter(Boolean).flatMap((each) => hashesOf(each.body)));
  const page = pageId();

  // One id for each open page: the server holds our pictures for it. A reload keeps it. A copy of a tab gets a copy of
  // sessionStorage too, in which the other one is still open: it begins anew, or both would hold the same pictures.
  function pageId() {
    if (sessionStorage.getItem("open")) sessionStorage.clear();
    sessionStorage.setItem("open", "yes");
    addEventListener("pagehide", () => sessionStorage.removeItem("open"));
    addEventListener("pageshow", () => sessionStorage.setItem("open", "yes"));
    if (!sessionStorage.getItem("page")) sessionStorage.setItem("page", random());
    return sessionStorage.getItem("page");
  }

  function counter() {
    const next = Number(sessionStorage.getItem("counter") || 0) + 1;
    sessionStorage.setItem("counter", next);
    return next % 1000000;
  }

  function enqueue(url, body) {
    const name = `${PREFIX}${Date.now().toString(36).padStart(10, "0")}.${String(counter()).padStart(6, "0")}.${body.key}`;
    localStorage.setItem(name, JSON.stringify({ url, body: { ...body, page } }));
    send();
  }

  function post(url, body) {
    return fetch(url, {
      method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
      body: JSON.stringify(body), credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_MS),
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
        const said = read(name);
        if (!said) continue; // another tab of ours was quicker
        drawWaiting();
        const reply = await post(said.url, upToDate(said.body));
        if (await turnedAway(reply)) return;
        if (reply.status === 429 || reply.status >= 500) return later(text("busy", { status: reply.status }), 1000 * Number(reply.headers.get("Retry-After")));
        localStorage.removeItem(name);
        heard(said, reply, await reply.json().catch(() => ({})));
        waitMs = WAIT_MS;
      }
    } catch {
      later(text("offline"));
    } finally {
      sending = false;
      drawWaiting();
      answered(null);
    }
  }

  function later(message, leastMs = 0) {
    if (!stale) say(message);
    timer = setTimeout(send, Math.max(waitMs, leastMs || 0));
    waitMs = Math.min(waitMs * 2, MOST_WAIT_MS);
  }

  function heard(said, reply, answer) {
    const ok = reply.ok;
    if (ok && answer.version !== undefined) versions.set(answer.sha256, answer.version);
    if (ok && answer.versions) Object.entries(answer.versions).forEach(([sha256, version]) => versions.set(sha256, version));
    if (ok && answer.items) answer.items.forEach((item) => versions.set(item.sha256, item.version));
    answered(said, ok, answer, reply.status);
    const refused = Object.values(answer.refused || {});
    if (reply.status === 400) outOfDate(answer.detail);
    else if (!ok) tell(reply.status === 409 ? text("quicker") : answer.detail || text("refused"));
    else if (refused.length) tell(text("some_refused", { n: refused.length, why: refused[0] }));
    else if (!told && !stale) say("");
  }

  // Signed out, or the page is older than the session: what was said stays in the queue. -> true then
  async function turnedAway(reply) {
    if (reply.status === 401) {
      say(text("signed_out"), text("sign_in"), root.dataset.loginUrl);
      return true;
    }
    if (reply.status === 400 && (await reply.clone().json().catch(() => ({}))).code === "csrf") {
      outOfDate();
      return true;
    }
    return false;
  }

  // It stays there: what is said next may be refused too.
  function outOfDate(why = "") {
    stale = true;
    say(`${why} ${text("stale")}`.trim(), text("load_again"), location.pathname + location.search);
  }

  function say(message, link = "", href = "") {
    clearTimeout(told);
    told = 0;
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
    told = setTimeout(() => say(""), TOLD_MS);
  }

  function drawWaiting() {
    const place = document.getElementById("waiting"), n = queued().length;
    if (place) place.textContent = n ? text("waiting", { n }) : "";
  }

  addEventListener("online", send);
  return { enqueue, send, post, queued, waiting, random, versions, text, say, tell, turnedAway, page };
}
