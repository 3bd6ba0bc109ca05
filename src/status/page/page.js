// Shows how it stands now, every few seconds, unless nobody looks; and reads the chart's bars to whoever points at them.
"use strict";

const EVERY = 5000;

// What somebody is using stays as it is until they leave it.
function isUsed(part) {
  const selection = document.getSelection();
  const selects = !selection.isCollapsed && part.contains(selection.anchorNode);
  return selects || (part.contains(document.activeElement) && document.activeElement !== part);
}

function show(page) {
  for (const part of page.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old || isUsed(old) || old.innerHTML === part.innerHTML) continue;
    for (const unfolded of old.querySelectorAll("details[open]")) {
      const again = part.querySelector("#" + unfolded.id);
      if (again) again.open = true;
    }
    const pointed = [...old.querySelectorAll(".bar")].findIndex((bar) => bar.classList.contains("on"));
    old.replaceWith(document.adoptNode(part));
    if (pointed >= 0) read(part.querySelectorAll(".bar")[pointed]);
  }
  if (document.title !== page.title) {
    document.title = page.title;
    document.getElementById("news").textContent = page.querySelector("h1").textContent;
  }
}

async function renew() {
  if (document.hidden) return;
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(15000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.querySelector("h1")) throw new Error("this is no page");
    show(page);
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

async function go() {
  await renew();
  setTimeout(go, EVERY);
}
setTimeout(go, EVERY);
document.documentElement.classList.add("scripted");
document.addEventListener("visibilitychange", renew);

function read(bar) {
  for (const other of document.querySelectorAll(".bar.on")) other.classList.remove("on");
  if (bar) bar.classList.add("on");
  document.getElementById("readout").textContent = bar ? bar.dataset.label : "";
}

document.addEventListener("pointermove", (event) => {
  const bar = event.target.closest?.(".bar");
  if (bar && !bar.classList.contains("on")) read(bar);
});

document.addEventListener("keydown", (event) => {
  const plot = event.target.closest?.(".plot");
  if (!plot || event.ctrlKey || event.altKey || event.metaKey) return;
  const bars = [...plot.querySelectorAll(".bar")];
  const at = bars.findIndex((bar) => bar.classList.contains("on"));
  const to = { ArrowLeft: at < 0 ? bars.length - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  read(bars[Math.max(0, Math.min(to, bars.length - 1))]);
});
