"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const settings = {displayModeBar: false, responsive: true};
for (const [id, variants] of Object.entries(figures)) {
  const place = document.getElementById("chart-" + id);
  const choice = document.getElementById("choice-" + id);
  const draw = (position) => {
    const figure = variants[position].figure;
    place.style.height = figure.layout.height + "px";
    Plotly.react(place, figure.data, figure.layout, settings);
  };
  draw(0);
  if (choice) choice.addEventListener("change", () => draw(Number(choice.value)));
}
const fit = () => document.querySelectorAll(".plot").forEach((place) => Plotly.Plots.resize(place));
window.addEventListener("beforeprint", fit);
window.addEventListener("afterprint", fit);
