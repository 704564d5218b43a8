/* Begins at a log's end and, while its run is at work, adds what is new; the page stays light however long that is. */
"use strict";

const EVERY_MS = 2000;
const MOST_LINES = 2000;
const GIVE_UP = [403, 404];

function cell(name, text) {
  const part = document.createElement("span");
  part.className = name;
  part.textContent = text;
  return part;
}

function draw(line) {
  const row = document.createElement("div");
  row.className = "log-line";
  row.dataset.level = line.level;
  row.append(cell("", line.number), cell("", line.when), cell("", line.level), cell("log-text", line.text));
  return row;
}

function add(box, lines) {
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  box.append(...lines.map(draw));
  while (box.childElementCount > MOST_LINES) box.firstElementChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

async function ask(box) {
  const url = new URL(box.dataset.url, window.location.href);
  url.searchParams.set("after", box.dataset.last);
  const answer = await fetch(url, { headers: { Accept: "application/json" }, redirect: "error" });
  if (GIVE_UP.includes(answer.status)) return false;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { lines, last, state } = await answer.json();
  // The rest of the page speaks of the state it was loaded in; and a log that has reached its limit gives up
  // lines of its middle, so that all later ones are counted anew.
  if (state !== box.dataset.state || last < Number(box.dataset.last)) {
    window.location.reload();
    return false;
  }
  add(box, lines);
  box.dataset.last = last;
  return true;
}

async function follow(box, note) {
  let going = true;
  while (going) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (document.hidden) continue;
    try {
      going = await ask(box);
      note.textContent = "New lines appear by themselves.";
    } catch {
      note.textContent = "The console does not answer; asking again.";
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const box = document.getElementById("log-lines");
  if (!box) return;
  box.scrollTop = box.scrollHeight;
  if (box.dataset.url) follow(box, document.getElementById("log-note"));
});
