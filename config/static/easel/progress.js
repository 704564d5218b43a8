/* Keeps a run's page up to date while the run is queued or at work; loads it anew when that changes. */
"use strict";

const EVERY_MS = 2000;
const GIVE_UP = [403, 404];

function show(section, name, text) {
  section.querySelector(`[data-show="${name}"]`).textContent = text;
}

function note(progress) {
  if (progress.cancelling) return "Stopping.";
  if (progress.at_work.length) return `At work: ${progress.at_work.join(", ")}`;
  return progress.requests ? "" : "Waiting for a worker.";
}

function draw(section, progress) {
  const number = (value) => value.toLocaleString("en");
  show(section, "courses", `${number(progress.courses_done)} of ${number(progress.courses_total)}`);
  show(section, "rows", number(progress.rows));
  show(section, "requests", number(progress.requests));
  show(section, "note", note(progress));
  const bar = section.querySelector("progress");
  bar.max = progress.courses_total || 1;
  bar.value = progress.courses_done;
}

async function ask(section) {
  const answer = await fetch(section.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
  if (GIVE_UP.includes(answer.status)) return false;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { progress } = await answer.json();
  // The rest of the page speaks of the state it was loaded in.
  if (progress.state !== section.dataset.state) {
    window.location.reload();
    return false;
  }
  draw(section, progress);
  return true;
}

async function follow(section) {
  let going = true;
  while (going) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (document.hidden) continue;
    try {
      going = await ask(section);
    } catch {
      show(section, "note", "The console does not answer; asking again.");
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const section = document.getElementById("progress");
  if (section) follow(section);
});
