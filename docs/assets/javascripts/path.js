// Narrows the sections of the path down to those between two releases. Without it the path is whole.
(function () {
  "use strict";
  const form = document.getElementById("path-form");
  if (!form) return;
  const says = document.getElementById("path-says");
  const known = Array.from(form.elements.from.options, (o) => o.value);
  const steps = Array.from(document.querySelectorAll(".step"));

  function show() {
    const from = form.elements.from.value;
    const to = form.elements.to.value;
    const after = known.slice(known.indexOf(from) + 1, known.indexOf(to) + 1);
    let changes = 0;
    for (const step of steps) {
      step.hidden = !step.dataset.release.split(" ").some((r) => after.includes(r));
      if (!step.hidden && !step.classList.contains("quiet")) changes += step.querySelectorAll("li").length;
    }
    if (known.indexOf(to) < known.indexOf(from)) says.textContent = `${to} is older than ${from}: nothing to show.`;
    else if (from === to) says.textContent = `You are on ${to} already.`;
    else says.textContent = `From ${from} to ${to}: ${changes} ${changes === 1 ? "thing changes" : "things change"}.`;
  }

  const asked = new URLSearchParams(location.search);
  form.elements.from.value = known[0];
  form.elements.to.value = known[known.length - 1];
  const unknown = [];
  for (const name of ["from", "to"]) {
    const wanted = asked.get(name);
    if (!wanted) continue;
    // "0.18" stands for the newest 0.18 there is.
    const match = known.includes(wanted) ? wanted : known.filter((r) => r.startsWith(wanted + ".")).pop();
    if (match) form.elements[name].value = match;
    else unknown.push(wanted);
  }
  form.addEventListener("change", () => {
    show();
    const query = new URLSearchParams({ from: form.elements.from.value, to: form.elements.to.value });
    history.replaceState(null, "", location.pathname + "?" + query + location.hash);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  if (unknown.length) says.textContent = `${unknown.join(" and ")}: not a release this page knows. It knows ${known[0]} to ${known[known.length - 1]}.`;
  else if (asked.has("from") || asked.has("to")) show();
})();
