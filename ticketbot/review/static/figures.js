// How far is it? The server's figures, and ours while it has not heard everything yet. All review pages use it.
"use strict";
function Figures(root, said) {
  const byId = (id) => document.getElementById(id);
  const RATE_OVER_MS = 120000;
  const language = document.documentElement.lang;
  let progress = JSON.parse(root.dataset.progress);
  let said_at = JSON.parse(sessionStorage.getItem("said_at") || "[]");

  function counted(labels, fresh) {
    progress.left = Math.max(0, progress.left - fresh);
    progress.until_training = Math.max(0, progress.until_training - labels);
    const now = Date.now();
    if (labels > 0) for (let i = 0; i < labels; i += 1) said_at.push(now);
    else said_at.splice(labels);
    said_at = said_at.filter((at) => now - at < RATE_OVER_MS).slice(-2000);
    sessionStorage.setItem("said_at", JSON.stringify(said_at));
    draw();
  }

  function take(found) {
    if (!found) return;
    progress = found;
    draw();
  }

  function rate() {
    const now = Date.now(), recent = said_at.filter((at) => now - at < RATE_OVER_MS);
    if (recent.length < 3) return "–";
    return Math.round(recent.length / (Math.max(now - recent[0], 3000) / 60000)).toLocaleString(language);
  }

  function draw() {
    byId("left").textContent = progress.left.toLocaleString(language);
    byId("rate").textContent = rate();
    byId("until").textContent = progress.until_training.toLocaleString(language);
    byId("agrees").textContent = progress.agrees === null ? "–" : `${Math.round(progress.agrees * 100)} %`;
    byId("kappa").textContent = progress.kappa === null ? "" : said.text("kappa", { value: progress.kappa.toLocaleString(language, { maximumFractionDigits: 2 }) });
  }

  setInterval(draw, 10000);
  draw();
  return { counted, take };
}
