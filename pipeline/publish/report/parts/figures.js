"use strict";
// Draws every chart of the page from the JSON beside it.
const CONFIG = {
  responsive: true,
  displaylogo: false,
  // These buttons and no others: by default there is one that sends the data to plotly's cloud.
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  plotlyServerURL: "",
  toImageButtonOptions: { format: "svg" },
};
const read = (id) => JSON.parse(document.getElementById(id).textContent);

const drawn = read("figures");
for (const box of document.querySelectorAll("[data-figure]")) {
  const { data, layout } = drawn[Number(box.dataset.figure)];
  Plotly.newPlot(box, data, layout, { ...CONFIG, displayModeBar: false });
}
