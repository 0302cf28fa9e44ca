// Which key does what, the dialog that shows it, and how a person changes it. All review pages use it.
"use strict";
function Keys(root, said, act) {
  const byId = (id) => document.getElementById(id);
  // [[name, key], …]: an object would lose the order.
  const categories = JSON.parse(root.dataset.keys);
  const actions = JSON.parse(root.dataset.actions);
  const byKey = new Map();
  categories.forEach(([name], index) => index < 9 && byKey.set(String(index + 1), name));
  for (const [name, key] of [...categories, ...Object.entries(actions)]) if (key) byKey.set(key, name);
  const help = byId("help");
  let learning = null;

  const numberOf = (name) => Math.max(-1, categories.findIndex(([each]) => each === name));
  const colourOf = (name) => `c${numberOf(name) < 0 ? 7 : numberOf(name) % 8}`;

  function toggle() {
    if (help.open) help.close(); else help.showModal();
  }

  function learn(button) {
    if (learning) learning.classList.remove("learning");
    learning = button;
    if (!button) return;
    button.classList.add("learning");
    byId("learning").textContent = said.text("press_key", { name: button.dataset.key });
  }

  async function choose(keys) {
    const reply = await said.post(root.dataset.keysUrl, { keys });
    if (reply.ok) return location.reload();
    const problem = await reply.json().catch(() => ({}));
    byId("learning").textContent = problem.detail || said.text("refused");
  }

  function learnt(event) {
    event.preventDefault();
    const name = learning.dataset.key;
    learn(null);
    if (event.key === "Escape") return void (byId("learning").textContent = "");
    // Every key as it is now, so that a class that was given its letter by us keeps it.
    const all = Object.fromEntries([...categories, ...Object.entries(actions)].filter(([, key]) => key));
    choose({ ...all, [name]: event.key.toLowerCase() });
  }

  document.addEventListener("keydown", (event) => {
    if (learning) return learnt(event);
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey) {
      event.preventDefault();
      return act("undo", event);
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "?") return toggle();
    if (help.open) return;
    if (event.repeat && !["arrowleft", "arrowright", "arrowup", "arrowdown"].includes(key)) return;
    const onButton = event.target.matches("button, a, summary");
    if (onButton && (event.key === "Enter" || event.key === " ")) return;
    act(byKey.get(key) || event.key, event);
  });
  help.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-key]");
    if (button) learn(button);
    if (event.target.id === "keys-reset") choose({});
  });
  help.addEventListener("close", () => learn(null));
  byId("help-button").addEventListener("click", toggle);
  return { categories, actions, numberOf, colourOf, zoomKey: actions.zoom };
}
