// Narrows the table of role effects down to a release, a side and the features in use. Without it the table is whole.
(function () {
  "use strict";
  const form = document.getElementById("picker");
  const table = document.getElementById("effects");
  if (!form || !table) return;

  const rows = Array.from(table.tBodies[0].rows);
  const says = document.getElementById("picker-says");
  const words = (n, one, many) => n + " " + (n === 1 ? one : many);

  function choice() {
    const data = new FormData(form);
    return { release: data.get("release"), side: data.get("side"), features: data.getAll("feature"), all: data.has("all") };
  }

  function matters(row, { release, side, features }) {
    const needs = row.dataset.features.split(" ").filter(Boolean);
    return (
      (!release || row.dataset.releases.split(" ").includes(release)) &&
      (!side || row.dataset[side] === "changes") &&
      (!features.length || !needs.length || needs.some((f) => features.includes(f)))
    );
  }

  function show() {
    const chosen = choice();
    const left = rows.filter((row) => matters(row, chosen));
    // What needs nothing of the reader is shown on demand, and where a link leads to it.
    for (const row of rows)
      row.hidden = !left.includes(row) || !(chosen.all || row.dataset.act === "true" || "#" + row.id === location.hash);
    const kept = rows.filter((row) => !row.hidden).length;
    for (const side of ["prefill", "decode"])
      for (const cell of table.querySelectorAll("." + side))
        cell.classList.toggle("off", Boolean(chosen.side) && chosen.side !== side);
    for (const item of table.querySelectorAll("li[data-release]"))
      item.hidden = Boolean(chosen.release) && item.dataset.release !== chosen.release;
    const acts = left.filter((row) => row.dataset.act === "true").length;
    const where = chosen.release ? "vLLM " + chosen.release : "All releases";
    const more = left.length > kept ? ` ${words(left.length - kept, "row that needs", "rows that need")} nothing of you ${left.length - kept === 1 ? "is" : "are"} not shown.` : "";
    says.textContent = unknown
      ? `vLLM ${unknown} is not a release this page knows; it knows ${known[0]} to ${known[known.length - 1]}. Below are all of them.`
      : left.length
        ? `${where}: ${words(left.length, "thing changes", "things change")} with the role, ${acts ? words(acts, "needs", "need") : "none needs"} a look before you move.${more}`
        : `${where}: the role changes nothing.`;
  }

  function remember() {
    const { release, side, features, all } = choice();
    const query = new URLSearchParams();
    if (release) query.set("release", release);
    if (side) query.set("side", side);
    for (const f of features) query.append("feature", f);
    if (all) query.set("all", "");
    const text = query.toString();
    history.replaceState(null, "", location.pathname + (text ? "?" + text : "") + location.hash);
  }

  const asked = new URLSearchParams(location.search);
  const known = Array.from(form.elements.release.options, (o) => o.value).filter(Boolean).reverse();
  let unknown = asked.get("release") && !known.includes(asked.get("release")) ? asked.get("release") : "";
  for (const field of form.elements) {
    if (field.name === "release" && asked.get("release") && !unknown) field.value = asked.get("release");
    if (field.name === "side" && asked.has("side")) field.checked = field.value === asked.get("side");
    if (field.name === "feature") field.checked = asked.getAll("feature").includes(field.value);
    if (field.name === "all") field.checked = asked.has("all");
  }
  form.addEventListener("change", () => { unknown = ""; show(); remember(); });
  window.addEventListener("hashchange", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
