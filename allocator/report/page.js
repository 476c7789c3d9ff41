"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const settings = {displayModeBar: false, responsive: true};
const PAPER = 700; // Paper is narrower than most screens: A4 less its margins is 700 pixels wide.
const shown = new Map(); // what a reader chose to see of each chart
let isPrinting = false;
// On a narrow screen a figure scrolls sideways rather than writing its numbers over each other.
const least = ({data, layout}) => layout.margin.l + layout.margin.r + (data[0].type === "heatmap" ? 46 * data[0].x.length : 60);
const draw = (id) => {
  const place = document.getElementById("chart-" + id);
  const figure = figures[id][shown.get(id) || 0].figure;
  place.style.minWidth = isPrinting ? "0" : least(figure) + "px";
  place.style.height = figure.layout.height + "px";
  const layout = isPrinting ? {...figure.layout, autosize: false, width: PAPER} : {...figure.layout, autosize: true};
  Plotly.react(place, figure.data, layout, settings);
};
const isFolded = (id) => document.getElementById("chart-" + id).closest("details:not([open])") !== null;
for (const id of Object.keys(figures)) {
  const choice = document.getElementById("choice-" + id);
  if (choice) choice.addEventListener("change", () => { shown.set(id, Number(choice.value)); draw(id); });
  if (!isFolded(id)) draw(id);
}
// A chart that is folded has no width, so it is drawn when it is unfolded.
const folds = [...document.querySelectorAll("details")];
const within = (fold) => [...fold.querySelectorAll(".plot")].map((place) => place.id.slice("chart-".length));
folds.forEach((fold) => fold.addEventListener("toggle", () => { if (fold.open) within(fold).forEach((id) => draw(id)); }));
const unfold = () => {
  const goal = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (let fold = goal && goal.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
};
window.addEventListener("hashchange", unfold);
unfold();
// Paper shows what is folded, but for what would fill pages and pages; then it is folded again.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = folds.filter((fold) => !fold.open && !fold.matches(".unprinted"));
  folded.forEach((fold) => { fold.open = true; });
  isPrinting = true;
  Object.keys(figures).forEach((id) => draw(id));
});
window.addEventListener("afterprint", () => {
  folded.forEach((fold) => { fold.open = false; });
  isPrinting = false;
  Object.keys(figures).filter((id) => !isFolded(id)).forEach((id) => draw(id));
});
