// Files and addresses go one at a time, so that each answer shows as soon as it is there. Without this script the two
// forms still work.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const answers = byId("answers"), trouble = byId("trouble"), drop = byId("by-file");
  const csrf = document.querySelector("meta[name=csrf-token]").content;
  const MOST = Number(answers.dataset.most);
  let last = Promise.resolve();

  function complain(text) {
    trouble.hidden = !text;
    trouble.textContent = text;
  }

  // One after the other: a crowd of files must not take all the places from others.
  const ask = (name, fields, file) => { last = last.then(() => send(name, fields, file)); };

  async function send(name, fields, file) {
    const none = byId("none"), waits = document.createElement("p");
    if (none) none.remove();
    waits.className = "card muted";
    waits.textContent = answers.dataset.asking.replace("{name}", () => name);
    answers.prepend(waits);
    const body = new FormData();
    for (const [key, value] of Object.entries(fields)) body.append(key, value);
    try {
      const reply = await fetch(location.pathname, {
        method: "POST", body, credentials: "same-origin", headers: { "X-CSRFToken": csrf, "X-Fragment": "1", Accept: "application/json" },
      });
      if (reply.status === 401) return location.reload();
      if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).detail || `${reply.status}`);
      const template = document.createElement("template");
      template.innerHTML = await reply.text(); // made by our own template, everything in it escaped
      const card = template.content.querySelector("article");
      waits.replaceWith(card);
      complain("");
      if (file) draw(card.querySelector("canvas"), file);
    } catch (error) {
      waits.remove();
      complain(error instanceof TypeError ? answers.dataset.offline : `${name}: ${error.message}`);
    }
  }

  // A preview of a person's own file, drawn without any address.
  async function draw(canvas, file) {
    try {
      const image = await createImageBitmap(file);
      const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
      const width = image.width * scale, height = image.height * scale;
      canvas.hidden = false;
      canvas.getContext("2d").drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    } catch {
      canvas.hidden = true;
    }
  }

  const files = (list) => [...list].slice(0, MOST).forEach((file) => ask(file.name, { file }, file));

  byId("by-url").addEventListener("submit", (event) => {
    event.preventDefault();
    const url = byId("url").value.trim();
    if (url) ask(url, { url });
  });
  drop.addEventListener("submit", (event) => {
    event.preventDefault();
    files(byId("file").files);
  });
  byId("file").addEventListener("change", () => {
    files(byId("file").files);
    byId("file").value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") files(event.dataTransfer.files);
    });
  }
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) files(event.clipboardData.files);
  });
})();
