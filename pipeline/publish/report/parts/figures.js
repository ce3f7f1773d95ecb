"use strict";
// Draws every chart of the page from the JSON beside it.
const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "svg" },
};
const read = (id) => JSON.parse(document.getElementById(id).textContent);

const drawn = read("figures");
for (const box of document.querySelectorAll("[data-figure]")) {
  const { data, layout } = drawn[Number(box.dataset.figure)];
  Plotly.newPlot(box, data, layout, { ...CONFIG, displayModeBar: false });
}
