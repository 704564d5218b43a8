/* Draws the dashboard's charts from the figures in the page, and keeps the list of running syncs up to date. */
"use strict";

const EVERY_MS = 3000;
const GIVE_UP = [403, 404];
const FONT = { family: "inherit", size: 12 };
// Okabe and Ito's colours, which people see apart whatever their eyes; dashes, points and patterns say it again.
const COLOURS = {
  light: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"],
  dark: ["#56b4e9", "#e69f00", "#2bc196", "#e7a3c8", "#3d8fd1", "#f07b3a", "#b3b3b3"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const POINTS = ["circle", "rect", "triangle", "star"];

// --- numbers in words ------------------------------------------------------------------------------

const plain = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

function seconds(value) {
  if (value < 60) return `${plain(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60).toLocaleString("en")} h ${minutes % 60} min`;
}

function inWords(value, unit) {
  if (unit === "s") return seconds(value);
  return unit ? `${plain(value)} ${unit}` : plain(value);
}

// --- charts ----------------------------------------------------------------------------------------

/* A tile to fill a bar with: stripes, dots, a grid; the first is plain. */
function pattern(colour, number) {
  if (number === 0) return colour;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const brush = tile.getContext("2d");
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 8, 8);
  brush.fillStyle = brush.strokeStyle = "rgba(255, 255, 255, 0.75)";
  brush.lineWidth = 1.5;
  const line = (...points) => {
    brush.beginPath();
    brush.moveTo(points[0], points[1]);
    brush.lineTo(points[2], points[3]);
    brush.stroke();
  };
  const draw = [
    () => [line(0, 8, 8, 0), line(-1, 1, 1, -1), line(7, 9, 9, 7)],
    () => brush.fillRect(2, 2, 3, 3),
    () => line(0, 4, 8, 4),
    () => line(4, 0, 4, 8),
    () => [line(0, 4, 8, 4), line(4, 0, 4, 8)],
    () => [line(0, 0, 8, 8), line(0, 8, 8, 0)],
  ];
  draw[(number - 1) % draw.length]();
  return brush.createPattern(tile, "repeat");
}

function dataset(series, place, colours) {
  const colour = colours[place % colours.length];
  const common = {
    label: series.label,
    data: series.values,
    unit: series.unit,
    yAxisID: series.secondAxis ? "second" : "y",
    order: series.kind === "bar" ? 1 : 0,
  };
  if (series.kind === "bar") {
    const stack = series.secondAxis ? "second" : "first";
    return { ...common, type: "bar", backgroundColor: pattern(colour, place), borderColor: colour, borderWidth: 1, stack };
  }
  return {
    ...common,
    type: "line",
    borderColor: colour,
    backgroundColor: colour,
    borderDash: DASHES[place % DASHES.length],
    borderWidth: 2,
    pointStyle: POINTS[place % POINTS.length],
    pointRadius: series.values.length > 60 ? 1.5 : 3,
    spanGaps: false,
  };
}

function noSync(empty, ink) {
  return {
    type: "line",
    label: "no sync",
    data: empty.map((none) => (none ? 0 : null)),
    showLine: false,
    pointStyle: "crossRot",
    pointRadius: 3,
    borderColor: ink,
    backgroundColor: ink,
    yAxisID: "y",
    order: 0,
    mark: true,
  };
}

function axis(series, ink, grid, second) {
  const unit = series.length ? series[0].unit : "";
  // Where an axis has several, the legend names them.
  return {
    beginAtZero: true,
    stacked: series.some((one) => one.kind === "bar"),
    position: second ? "right" : "left",
    title: { display: series.length === 1, text: series.map((one) => one.label), color: ink, font: FONT },
    ticks: { color: ink, font: FONT, maxTicksLimit: 6, callback: (value) => inWords(value, unit) },
    grid: { color: grid, drawOnChartArea: !second },
    ...(unit === "%" ? { suggestedMax: 10 } : {}),
  };
}

function settings(data, dark) {
  const ink = dark ? "#cbd5e1" : "#475569";
  const grid = dark ? "rgba(148, 163, 184, 0.2)" : "rgba(148, 163, 184, 0.35)";
  const first = data.series.filter((one) => !one.secondAxis);
  const second = data.series.filter((one) => one.secondAxis);
  const colours = dark ? COLOURS.dark : COLOURS.light;
  const datasets = data.series.map((series, place) => dataset(series, place, colours));
  if (data.empty.includes(true)) datasets.push(noSync(data.empty, ink));
  const scales = {
    x: { stacked: true, ticks: { color: ink, font: FONT, maxRotation: 0, autoSkip: true, autoSkipPadding: 12 }, grid: { display: false } },
    y: axis(first, ink, grid, false),
  };
  if (second.length) scales.second = axis(second, ink, grid, true);
  return {
    data: { labels: data.labels, datasets },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales,
      plugins: {
        legend: { position: "bottom", labels: { color: ink, font: FONT, usePointStyle: true, boxHeight: 8, padding: 12 } },
        tooltip: {
          callbacks: {
            label: ({ dataset: shown, parsed }) => (shown.mark ? "no sync" : `${shown.label}: ${inWords(parsed.y, shown.unit)}`),
          },
        },
      },
    },
  };
}

function drawCharts(drawn) {
  const dark = document.documentElement.classList.contains("dark");
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
    drawn.get(canvas)?.destroy();
    const data = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    drawn.set(canvas, new Chart(canvas, settings(data, dark)));
  }
}

// --- running syncs ---------------------------------------------------------------------------------

function element(name, classes, ...children) {
  const made = document.createElement(name);
  made.className = classes;
  made.append(...children);
  return made;
}

function runningSync(run) {
  const name = element("a", "text-link font-semibold", `Run ${run.id}: ${run.connection || "no connection"}`);
  name.href = run.url;
  const facts = [
    `${run.state}, ${run.mode.toLowerCase()}`,
    `for ${seconds(run.seconds)}`,
    `${plain(run.courses_done)} of ${plain(run.courses_total)} courses`,
    `${plain(run.rows)} rows`,
    `${plain(run.requests)} requests`,
  ];
  const bar = element("progress", "run-progress");
  bar.max = run.courses_total || 1;
  bar.value = run.courses_done;
  bar.setAttribute("aria-label", `Courses done of run ${run.id}`);
  const steps = run.at_work.map((step) => {
    const read = step.records ? `, ${plain(step.records)} records so far` : "";
    return element("li", "", `${step.title}: for ${seconds(step.seconds)}${read}`);
  });
  const line = element("div", "flex flex-wrap gap-4 items-baseline", name, ...facts.map((fact) => element("span", "text-sm", fact)));
  return element("div", "running", line, bar, element("ul", "", ...steps));
}

function showRunning(section, runs) {
  const list = runs.length ? runs.map(runningSync) : [element("p", "text-sm", "No sync is running.")];
  section.querySelector("[data-show=runs]").replaceChildren(...list);
}

async function askRunning(section) {
  const answer = await fetch(section.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
  if (GIVE_UP.includes(answer.status)) return false;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  showRunning(section, (await answer.json()).runs);
  return true;
}

async function followRunning(section) {
  showRunning(section, JSON.parse(document.getElementById("running-data").textContent));
  let going = true;
  while (going) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (document.hidden) continue;
    try {
      going = await askRunning(section);
    } catch {
      section.querySelector("[data-show=runs]").replaceChildren(
        element("p", "text-sm", "The console does not answer; asking again."),
      );
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const drawn = new Map();
  drawCharts(drawn);
  new MutationObserver(() => drawCharts(drawn)).observe(document.documentElement, { attributeFilter: ["class"] });
  const running = document.getElementById("running");
  if (running) followRunning(running);
});
