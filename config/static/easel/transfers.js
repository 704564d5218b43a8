/* Draws the charts of transfers from the figures in the page, and follows them live. Uses dashboard.js. */
"use strict";

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const LEAVE = [401, 403, 404];

/* Bytes in words, 1,500,000 as 1.5 MB. */
function bytesInWords(value) {
  let rest = value;
  let unit = 0;
  while (Math.round(rest * 10) / 10 >= 1000 && unit < BYTE_UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${rest.toLocaleString("en", { maximumFractionDigits: unit ? 1 : 0 })} ${BYTE_UNITS[unit]}`;
}

const told = (value, unit) => (unit === "B" ? bytesInWords(value) : plain(value));

/* A logarithmic axis names 1, 10, 100 and so on only. */
function tick(value, data) {
  if (data.logarithmic && Math.abs(Math.log10(value) % 1) > 1e-9) return null;
  return told(value, data.unit);
}

function valueAxis(data, ink, grid) {
  const ticks = { color: ink, font: FONT, callback: (value) => tick(value, data) };
  // From half of one on, or a single transfer would have no length.
  const range = data.logarithmic ? { type: "logarithmic", min: 0.5 } : { beginAtZero: true };
  if (!data.logarithmic) ticks.maxTicksLimit = 6;
  return { ...range, ticks, grid: { color: grid } };
}

function namesAxis(data, ink) {
  const skip = data.days ? { autoSkip: true, autoSkipPadding: 12, maxRotation: 0 } : { autoSkip: false };
  const short = (label) => (label.length > 24 ? `${label.slice(0, 23)}…` : label);
  return {
    ticks: { color: ink, font: FONT, ...skip, callback(value) { return short(this.getLabelForValue(value)); } },
    grid: { display: false },
  };
}

/* Triangles on the line of a day that is unusual. */
function markUnusual(shown, marked) {
  if (!marked.includes(true)) return shown;
  return {
    ...shown,
    pointStyle: marked.map((mark) => (mark ? "triangle" : shown.pointStyle)),
    pointRadius: marked.map((mark) => (mark ? 8 : shown.pointRadius)),
  };
}

function drawing(data, dark) {
  const ink = dark ? "#cbd5e1" : "#475569";
  const grid = dark ? "rgba(148, 163, 184, 0.2)" : "rgba(148, 163, 184, 0.35)";
  const colours = dark ? COLOURS.dark : COLOURS.light;
  const datasets = data.series.map((series, place) => {
    const { stack, yAxisID, ...shown } = dataset(series, place, colours);
    return { ...markUnusual(shown, series.unusual), unusual: series.unusual };
  });
  const [names, values] = data.days ? ["x", "y"] : ["y", "x"];
  return {
    data: { labels: data.labels, datasets },
    type: data.days ? "line" : "bar",
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: names,
      interaction: { mode: "index", axis: names, intersect: false },
      scales: { [names]: namesAxis(data, ink), [values]: valueAxis(data, ink, grid) },
      plugins: {
        legend: { position: "bottom", labels: { color: ink, font: FONT, usePointStyle: data.days, boxHeight: 10, padding: 12 } },
        tooltip: {
          callbacks: {
            label: ({ dataset: shown, parsed, dataIndex }) => {
              const mark = shown.unusual[dataIndex] ? " (unusual)" : "";
              return `${shown.label}: ${told(parsed[values], shown.unit)}${mark}`;
            },
          },
        },
      },
    },
  };
}

const drawings = new Map();

function drawTransfers() {
  const dark = document.documentElement.classList.contains("dark");
  for (const canvas of document.querySelectorAll("canvas[data-drawing]")) {
    drawings.get(canvas)?.destroy();
    const data = JSON.parse(document.getElementById(canvas.dataset.drawing).textContent);
    drawings.set(canvas, new Chart(canvas, drawing(data, dark)));
  }
}

// --- live ------------------------------------------------------------------------------------------

/* Asks for this very page and puts its figures in the place of those shown. False: there is no more to ask. */
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual", cache: "no-store" });
  // Who is no longer logged in is led to the login page.
  if (answer.type === "opaqueredirect" || LEAVE.includes(answer.status)) return false;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-fresh]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) old.replaceChildren(...fresh.childNodes);
  }
  drawTransfers();
  return true;
}

class Live {
  constructor(section) {
    this.seconds = Number(section.dataset.seconds);
    this.parts = Object.fromEntries(["start", "stop", "state"].map((name) => [name, section.querySelector(`[data-live=${name}]`)]));
    this.parts.start.addEventListener("click", () => this.start());
    this.parts.stop.addEventListener("click", () => this.stop("Paused."));
    if (new URLSearchParams(location.search).get("live")) this.start();
    else this.stop("");
  }

  say(text) {
    this.parts.state.textContent = text;
  }

  remember(going) {
    const address = new URL(location.href);
    if (going) address.searchParams.set("live", "1");
    else address.searchParams.delete("live");
    history.replaceState(null, "", address);
  }

  show(going) {
    this.parts.start.hidden = going;
    this.parts.stop.hidden = !going;
    this.remember(going);
  }

  stop(text) {
    clearTimeout(this.timer);
    this.turn = null;
    this.show(false);
    this.say(text);
  }

  start() {
    const turn = {};
    this.turn = turn;
    this.show(true);
    this.say(`Follows, every ${this.seconds} seconds.`);
    this.next(turn, 0);
  }

  next(turn, seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(turn), seconds * 1000);
  }

  async look(turn) {
    try {
      if (!document.hidden && !(await refresh())) {
        this.stop("You may no longer see this; log in again.");
        return;
      }
      if (this.turn === turn) this.say(`Follows, every ${this.seconds} seconds.`);
    } catch {
      if (this.turn === turn) this.say("The console does not answer; asking again.");
    }
    if (this.turn === turn) this.next(turn, this.seconds);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  drawTransfers();
  new MutationObserver(drawTransfers).observe(document.documentElement, { attributeFilter: ["class"] });
  const live = document.getElementById("live");
  if (live) new Live(live);
});
