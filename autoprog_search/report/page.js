"use strict";

// ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────

const PRINTED = 660; // px, a figure on A4 between the margins
const PREFERS_DARK = matchMedia("(prefers-color-scheme: dark)");
const ON_DARK = { "#4D4D4D": "#B8BEC4", "#222222": "#E6E9EC", "#999999": "#6B737B", "#EBF0F8": "#2A2F34" };
// Methods keep their colours, which can be told apart on either ground; what is grey or black is turned around.

async function unpacked(element) {
  const packed = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function draw(figure, { dark = PREFERS_DARK.matches, width = undefined } = {}) {
  let text = figure.querySelector("script").textContent;
  if (dark) for (const [light, shade] of Object.entries(ON_DARK)) text = text.replaceAll(`"${light}"`, `"${shade}"`);
  const { data, layout, config } = JSON.parse(text), clear = "rgba(0, 0, 0, 0)";
  const ground = { paper_bgcolor: clear, plot_bgcolor: clear, modebar: { bgcolor: clear } };
  const size = { width, autosize: width === undefined };
  return Plotly.react(figure.querySelector(".plot"), data, { ...layout, ...ground, ...size }, config);
}

async function drawAll() {
  const figures = [...document.querySelectorAll(".figure")];
  if (figures.length && "DecompressionStream" in window) {
    const plotly = document.createElement("script");
    plotly.textContent = await unpacked(document.getElementById("plotly"));
    document.head.append(plotly);
    for (const figure of figures) await draw(figure);
    const again = (how) => () => figures.forEach((figure) => draw(figure, how));
    PREFERS_DARK.addEventListener("change", again());
    addEventListener("beforeprint", again({ dark: false, width: PRINTED }));
    addEventListener("afterprint", again());
  } else {
    for (const figure of figures) figure.querySelector(".plot").textContent =
      "This browser cannot unpack the figure: Chrome 80, Firefox 113, Safari 16.4 or later can.";
  }
  document.documentElement.dataset.figures = "drawn";
}

// ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────

const MISSING = new Set(["", "–"]);

function keysOf(rows, column) {
  const texts = rows.map((row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim());
  const numbers = texts.every((text) => MISSING.has(text) || !Number.isNaN(Number(text)));
  return new Map(rows.map((row, place) => {
    const text = texts[place];
    return [row, MISSING.has(text) ? null : numbers ? Number(text) : text];
  }));
}

function sorted(rows, column, order) {
  if (!order) return rows;
  const keys = keysOf(rows, column), sign = order === "ascending" ? 1 : -1;
  return [...rows].sort((one, other) => {
    const [a, b] = [keys.get(one), keys.get(other)];
    if (a === null || b === null) return (a === null) - (b === null); // what is missing comes last either way
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  });
}

function makeSortable(table) {
  const rows = [...table.tBodies[0].rows], headers = [...table.tHead.rows[0].cells];
  const next = { ascending: "descending", descending: null };
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort; once more: the other way; a third time: as it was";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort"), order = now ? next[now] : "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      if (order) header.setAttribute("aria-sort", order);
      table.tBodies[0].append(...sorted(rows, column, order));
    });
  });
}

function makeFilterable(table) {
  const rows = [...table.tBodies[0].rows], texts = rows.map((row) => row.textContent.toLowerCase());
  const bar = document.createElement("div"), label = document.createElement("label");
  const input = document.createElement("input"), count = document.createElement("output");
  bar.className = "filter";
  input.type = "search";
  input.placeholder = "words that a row has";
  label.append("Filter ", input);
  bar.append(label, count);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    rows.forEach((row, place) => { row.hidden = !words.every((word) => texts[place].includes(word)); });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : "";
  });
  table.closest(".scroll").before(bar);
}

for (const table of document.querySelectorAll(".rows table")) {
  makeFilterable(table); // first: buttons are no text of a row, but they move the head's
  makeSortable(table);
}
drawAll();
