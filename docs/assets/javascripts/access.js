// What the theme leaves out for readers without a mouse, without a screen, or with a small one.
(function () {
  "use strict";
  // The search opens as a dialog; a dialog needs a name.
  const search = document.querySelector(".md-search[role='dialog']");
  if (search) search.setAttribute("aria-label", "Search");

  // On a phone each row of a table is a card, and each cell says which column it is of (site.css).
  for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
    const heads = Array.from(table.querySelectorAll("thead th"), (th) => th.textContent.trim().replace(/\?$/, ""));
    if (!heads.length) continue;
    table.setAttribute("data-cards", "");
    for (const row of table.querySelectorAll("tbody tr"))
      Array.from(row.cells).forEach((cell, n) => cell.setAttribute("data-label", n && cell.textContent.trim() ? heads[n] : ""));
  }

  // Copying a console block gives what can be run: lines behind "$ ", and behind "> " where they go on; no output.
  for (const code of document.querySelectorAll(".language-console code")) {
    const typed = code.textContent.split("\n").filter((line) => /^[$>] /.test(line));
    if (typed.length) code.parentElement.setAttribute("data-copy", typed.map((line) => line.slice(2)).join("\n"));
  }

  // The theme puts the buttons of each code block into a landmark; landmarks need names that differ.
  const named = new WeakSet();
  let blocks = 0;
  function name() {
    for (const nav of document.querySelectorAll(".md-code__nav"))
      if (!named.has(nav)) {
        named.add(nav);
        nav.setAttribute("aria-label", "Code block " + ++blocks);
      }
  }
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  name();

  // A table that is wider than the screen scrolls, and a keyboard must be able to scroll it too.
  function reachable() {
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap"))
      if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
  }
  for (const event of ["load", "resize"]) window.addEventListener(event, reachable);
})();
