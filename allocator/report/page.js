"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const settings = {displayModeBar: false, responsive: true};
for (const [id, variants] of Object.entries(figures)) {
  const place = document.getElementById("chart-" + id);
  const choice = document.getElementById("choice-" + id);
  // On a narrow screen a figure scrolls sideways rather than writing its numbers over each other.
  const least = ({data, layout}) => layout.margin.l + layout.margin.r + (data[0].type === "heatmap" ? 46 * data[0].x.length : 60);
  const draw = (position) => {
    const figure = variants[position].figure;
    place.style.minWidth = least(figure) + "px";
    place.style.height = figure.layout.height + "px";
    Plotly.react(place, figure.data, figure.layout, settings);
  };
  draw(0);
  if (choice) choice.addEventListener("change", () => draw(Number(choice.value)));
}
// Paper is narrower than most screens: A4 less its margins is 700 pixels wide.
const resize = (changes) => document.querySelectorAll(".plot").forEach((place) => Plotly.relayout(place, changes));
window.addEventListener("beforeprint", () => resize({autosize: false, width: 700}));
window.addEventListener("afterprint", () => resize({autosize: true, width: null}));
