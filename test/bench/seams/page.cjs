// Evaluated in the playground's page: notes the key that sends a prompt, the host's messages, and when an answer's
// first text is there and painted. `takeNotes()` gives what was noted since the last time.
"use strict";
(() => {
  // As in extension.cjs.
  const turn = () => {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    return now - performance.now();
  };
  const zero = Math.max(turn(), turn(), turn(), turn(), turn());
  const notes = [];
  const note = (name, at = performance.now()) => void notes.push({ name, at: zero + at });
  window.takeNotes = () => notes.splice(0);
  const ifSent = (hear) => (event) => void (event.key === "Enter" && hear(event));
  window.addEventListener(
    "keydown",
    ifSent(({ timeStamp }) => note("pressed", timeStamp)),
    true,
  );
  // Behind the page's own listeners.
  window.addEventListener(
    "keydown",
    ifSent(() => note("sent")),
  );
  const ifTold = ({ data, timeStamp }) => void (data?.kind === "event" && note("told", timeStamp));
  window.addEventListener("message", ifTold, true);
  let shown = null;
  const look = () => {
    const texts = document.querySelectorAll(".exchange .turn-text:not(.muted) > .plain");
    const last = [...texts].at(-1);
    if (!last || last === shown || last.textContent === "") return;
    shown = last;
    note("written");
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => note("painted");
    // The task behind a frame's callbacks runs when it was painted.
    requestAnimationFrame(() => port2.postMessage(null));
  };
  const all = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document.body, all);
})();
