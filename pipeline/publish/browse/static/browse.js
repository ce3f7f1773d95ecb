"use strict";
// Comfort only: every page works without this.

const rows = [...document.querySelectorAll(".row")];
let here = -1;

function go(step) {
  const turn = document.querySelector(`.turn a[rel=${step > 0 ? "next" : "prev"}]`);
  if (turn) {
    turn.click();
    return;
  }
  if (rows.length === 0) return;
  if (here >= 0) rows[here].classList.remove("here");
  here = Math.min(rows.length - 1, Math.max(0, here + step));
  rows[here].classList.add("here");
  rows[here].scrollIntoView({ block: "nearest" });
}

function open() {
  const link = here >= 0 && (rows[here].matches("a") ? rows[here] : rows[here].querySelector("a.open"));
  if (link) link.click();
}

const keys = {
  "/": () => document.getElementById("q").focus(),
  j: () => go(1),
  k: () => go(-1),
  Enter: open,
  u: () => document.querySelector("a[rel=up]")?.click(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=radio]), select, textarea");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target.closest("a, button, input")) return;
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// Fields that nobody filled in stay out of the address.
for (const form of document.querySelectorAll("form[data-prune]")) {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "") event.formData.delete(name);
    }
  });
}
