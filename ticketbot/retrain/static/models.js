// While a training runs, or is asked for: how far is it, and what does the trainer say? When it has ended the page loads anew.
"use strict";
(() => {
  const live = document.getElementById("live");
  const byId = (id) => document.getElementById(id);
  const EVERY_MS = 1500;
  if (live.hidden) return;

  const time = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

  function draw(training) {
    byId("live-stage").textContent = training.stage;
    byId("live-time").textContent = time(training.seconds);
    const bar = byId("live-progress"), log = byId("live-log");
    if (training.total) bar.value = training.done / training.total; else bar.removeAttribute("value");
    if (log.textContent === training.log) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.textContent = training.log;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  // Somebody is writing a reason: the page stays as it is.
  const isBusy = () => [...document.querySelectorAll("[name=reason]")].some((each) => each.value);

  // Between a wish and its training there is a moment with neither: only the second such look is believed.
  let nothing = 0;

  async function look() {
    try {
      const reply = await fetch(live.dataset.url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (reply.ok) {
        const { asked, training } = await reply.json();
        const runs = training && training.state === "running";
        if (runs) draw(training);
        nothing = runs || asked ? 0 : nothing + 1;
        if (nothing > 1 && !isBusy()) return location.reload();
      }
    } catch {
      // the connection comes back, or the page is loaded again
    }
    setTimeout(look, EVERY_MS);
  }

  look();
})();
