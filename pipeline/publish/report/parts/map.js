// The map: colours, search, and the row behind a point. Texts are set as text everywhere; only the hover,
// which plotly reads as markup, needs escaping.
(() => {
  const gd = document.getElementById("map");
  if (!gd) return;
  const points = read("map-data");
  const all = points.x.map((_, at) => at);
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#999933"];
  const SYMBOLS = ["circle", "circle-open", "diamond-open", "square-open", "triangle-up-open", "cross-open", "x-open"];
  const GREY = "#C6CAD2";
  const MATCHES = 30;
  const size = points.x.length > 3000 ? 4 : points.x.length > 800 ? 6 : 9;
  const search = document.getElementById("map-search");
  const colour = document.getElementById("map-colour");
  const told = document.getElementById("map-found");
  const list = document.getElementById("map-matches");
  const panel = document.getElementById("map-row");
  const number = (value) => value.toLocaleString("en");

  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text) => (text.length > 60 ? text.slice(0, 59) + "…" : text);
  const wrapped = (text) => (text.match(/.{1,64}(?:\s|$)|.{1,64}/gsu) || []).map(literal).join("<br>");
  const rate = (at) => (points.rate[at] === null ? "not judged" : `pass rate ${points.rate[at].toFixed(2)}`);
  const fates = (at) => points.sets.filter((set) => set.fate[at] >= 0).map((set) => `${set.name}: ${set.rules[set.fate[at]]}`);
  const hovers = all.map((at) =>
    [wrapped(points.text[at]), literal(short(points.sources[points.source[at]])) + `, cluster ${points.cluster[at]}, ${rate(at)}`,
      ...fates(at).map((fate) => literal(short(fate)))].join("<br>"));
  const haystack = all.map((at) => `${points.text[at]}\n${points.sources[points.source[at]]}`.toLowerCase());
  // A test of one word of a search. A number is no part of a longer one; an id is told by its beginning.
  const ID = 6;
  const tester = (word) => {
    const whole = /^\d+$/.test(word) ? new RegExp(`(?<!\\d)${word}(?!\\d)`) : null;
    return (at) => (whole ? whole.test(haystack[at]) : haystack[at].includes(word)) ||
      (word.length >= ID && points.id[at].toLowerCase().startsWith(word));
  };

  // Not scattergl: it makes functions from text, which this page forbids itself, and needs WebGL.
  const trace = (name, of, marker) => ({
    type: "scatter", mode: "markers", name: `${literal(short(name))} (${number(of.length)})`,
    x: of.map((at) => points.x[at]), y: of.map((at) => points.y[at]),
    customdata: of, text: of.map((at) => hovers[at]), hoverinfo: "text",
    marker: { size, line: { width: 0 }, ...marker },
  });
  const grouped = (groupOf, names, colours) => {
    const groups = names.map(() => []);
    all.forEach((at) => { const group = groupOf(at); if (group >= 0) groups[group].push(at); });
    const order = names.map((_, at) => at).filter((at) => groups[at].length);
    return order.map((at, place) => trace(names[at], groups[at], { color: colours(at, place) }));
  };
  const views = [
    ["which sets use it", () => [
      trace("in no set", all.filter((at) => points.sets.every((set) => set.fate[at] !== 0)), { color: GREY }),
      ...points.sets.map((set, at) => trace(set.name, all.filter((point) => set.fate[point] === 0), {
        color: COLOURS[at % COLOURS.length], symbol: SYMBOLS[at % SYMBOLS.length], size: size + (size > 4 ? 2.5 : 2) * at,
        ...(at % SYMBOLS.length ? { line: { width: size > 4 ? 1.5 : 1 } } : {}),
      })),
    ]],
    ...points.sets.map((set) => [`${set.name}: kept, or dropped by`, () => [
      trace("no decision", all.filter((at) => set.fate[at] < 0), { color: GREY }),
      ...grouped((at) => set.fate[at], set.rules, (at) => at ? COLOURS[[1, 4, 3, 5, 6, 7, 8][(at - 1) % 7]] : COLOURS[2]).reverse(),
    ].filter((each) => each.x.length)]),
    ["source", () => grouped((at) => points.source[at], points.sources, (_, place) => COLOURS[place % COLOURS.length])],
    ["pass rate", () => [
      trace("not judged", all.filter((at) => points.rate[at] === null), { color: GREY }),
      { ...trace("judged", all.filter((at) => points.rate[at] !== null), {
        color: all.filter((at) => points.rate[at] !== null).map((at) => points.rate[at]),
        colorscale: "Cividis", cmin: 0, cmax: 1, colorbar: { title: { text: "pass rate" }, thickness: 12 },
      }) },
    ].filter((each) => each.x.length)],
  ];
  views.forEach(([name], at) => colour.add(new Option(name, String(at))));

  let matches = null; // points that the search found, null without a search
  let chosen = null;
  const font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: "#22262E" };
  const layout = () => ({
    margin: { l: 8, r: 8, t: 8, b: 8 }, font, hovermode: "closest", dragmode: "pan", uirevision: "map",
    hoverlabel: { align: "left", font, bgcolor: "#fff", bordercolor: "#5C636E" },
    modebar: { bgcolor: "rgba(255,255,255,0.8)", color: "#8A919C", activecolor: "#22262E" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    legend: { orientation: "h", y: -0.02, yanchor: "top", x: 0, xanchor: "left", uirevision: colour.value },
    xaxis: { showticklabels: false, zeroline: false, gridcolor: "#EEF0F3" },
    yaxis: { showticklabels: false, zeroline: false, gridcolor: "#EEF0F3" },
  });
  const draw = () => {
    const traces = views[Number(colour.value)][1]();
    if (matches) {
      traces.forEach((each) => { each.marker.opacity = 0.25; });
      traces.push(trace("found", matches, { color: "#F0E442", size: size + 4, line: { width: 1.5, color: "#22262E" } }));
    }
    if (chosen !== null) {
      traces.push({ ...trace("shown", [chosen], { color: "rgba(0,0,0,0)", size: size + 11, line: { width: 3, color: "#22262E" } }), showlegend: false });
    }
    return Plotly.react(gd, traces, layout(), { ...CONFIG, scrollZoom: true });
  };

  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = String(text);
    if (kind) made.className = kind;
    return made;
  };
  const facts = (pairs) => {
    const made = element("dl");
    for (const [name, value] of pairs) {
      if (value === null || value === undefined || value === "") continue;
      made.append(element("dt", name), element("dd", value));
    }
    return made;
  };
  const KINDS = ["correct", "wrong", "unjudged"];
  const answer = (each) => {
    const made = element("details");
    const head = element("summary", `answer ${each.index} `);
    for (const verdict of each.verdicts) {
      head.append(element("span", verdict.verdict, KINDS.includes(verdict.verdict) ? verdict.verdict : ""), " ");
    }
    made.append(head, facts([["tokens", each.tokens], ["ended by", each.ended]]));
    for (const verdict of each.verdicts) {
      made.append(facts([["judged by", verdict.by], ["verdict", verdict.verdict], ["read", verdict.read], ["why", verdict.why]]));
    }
    made.append(element("pre", each.text));
    return made;
  };
  const images = (addresses) => {
    const made = element("div", null, "images");
    addresses.forEach((address, at) => {
      if (address === null) {
        made.append(element("span", `image ${at + 1} is not on this page`, "faint"));
        return;
      }
      const image = element("img");
      image.alt = `image ${at + 1}`;
      image.src = address;
      made.append(image);
    });
    return made;
  };
  const decision = (each) => {
    const value = each.value === null ? "" : `: ${each.value}`;
    const asked = each.threshold === null ? "" : ` (asked for: ${each.threshold})`;
    const often = each.n > 1 ? `${number(each.n)} × ` : "";
    return element("li", `${often}${each.stage}: ${each.decision} by ${each.rule}${value}${asked}`);
  };
  const show = (at) => {
    chosen = at;
    const row = points.rows[at];
    const parts = [facts([
      ["prompt", points.id[at]], ["source", points.sources[points.source[at]]], ["cluster", points.cluster[at]],
      ["pass rate", points.rate[at]], ...(row ? Object.entries(row.facts) : []),
    ])];
    if (row) {
      for (const [role, content] of row.messages) parts.push(element("div", role, "faint"), element("pre", content));
      if (row.images) parts.push(images(row.images));
      for (const task of row.tasks) {
        parts.push(element("div", `reference, for ${task.verifier}`, "faint"), element("pre", task.reference === null ? "none" : task.reference));
      }
      if (row.answers.length) parts.push(element("h4", "Answers"), ...row.answers.map(answer));
      const decisions = element("ul");
      decisions.append(...row.decisions.map(decision));
      parts.push(element("h4", "Decisions"), decisions);
      parts.push(element("p", `Texts are cut at ${number(points.longLimit)} characters.`, "faint"));
    } else {
      const fate = element("ul");
      fate.append(...fates(at).map((each) => element("li", each)));
      parts.push(element("pre", points.text[at]), fate,
        element("p", `This page has no room for the whole row. \`winnow why ${points.id[at]}\` tells it.`, "faint"));
    }
    panel.replaceChildren(...parts);
    panel.focus({ preventScroll: true });
    panel.parentElement.scrollTop = 0; // the row stands below a list that is never as high as the panel
    const top = panel.getBoundingClientRect().top;
    if (top < 0 || top > 0.9 * innerHeight) panel.scrollIntoView();
    draw();
  };

  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean).map(tester);
    matches = words.length ? all.filter((at) => words.every((fits) => fits(at))) : null;
    told.textContent = matches ? `${number(matches.length)} of ${number(all.length)} points` : "";
    list.hidden = !matches || !matches.length;
    list.replaceChildren(...(matches || []).slice(0, MATCHES).map((at) => {
      const item = element("li");
      const button = element("button", points.text[at].length > 110 ? points.text[at].slice(0, 109) + "…" : points.text[at] || points.id[at]);
      button.type = "button";
      button.addEventListener("click", () => show(at));
      item.append(button);
      return item;
    }));
    draw();
  };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 150); });
  colour.addEventListener("change", draw);
  document.getElementById("map-tools").addEventListener("submit", (event) => event.preventDefault());
  draw().then(() => gd.on("plotly_click", (event) => show(event.points[event.points.length - 1].customdata)));
})();
