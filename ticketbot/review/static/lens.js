// Hold a key or the pointer: one picture pixel is one screen pixel, and the pointer says where. All review pages use it.
"use strict";
function Lens(frame, lens) {
  let pointer = { x: 0.5, y: 0.5 };

  function zoom(sha256) {
    if (!sha256) {
      lens.hidden = true;
      return lens.replaceChildren();
    }
    if (!lens.hidden) return;
    const image = new Image();
    image.alt = "";
    image.onload = place;
    image.src = `/picture/${sha256}.jpg?size=zoom`;
    lens.replaceChildren(image);
    lens.hidden = false;
    place();
  }

  function place() {
    const image = lens.querySelector("img");
    if (!image || !image.naturalWidth) return;
    const move = (room, size, at) => (size <= room ? (room - size) / 2 : (room - size) * at);
    const scale = 1 / devicePixelRatio;
    image.style.width = `${image.naturalWidth * scale}px`;
    image.style.left = `${move(lens.clientWidth, image.naturalWidth * scale, pointer.x)}px`;
    image.style.top = `${move(lens.clientHeight, image.naturalHeight * scale, pointer.y)}px`;
  }

  frame.addEventListener("pointermove", (event) => {
    const box = frame.getBoundingClientRect();
    pointer = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    place();
  });
  window.addEventListener("blur", () => zoom(null));
  return zoom;
}
