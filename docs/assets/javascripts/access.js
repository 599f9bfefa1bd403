// What the theme leaves out for readers without a mouse or a screen.
(function () {
  "use strict";
  // The search opens as a dialog; a dialog needs a name.
  const search = document.querySelector(".md-search[role='dialog']");
  if (search) search.setAttribute("aria-label", "Search");

  // A table that is wider than the screen scrolls, and a keyboard must be able to scroll it too.
  function reachable() {
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap"))
      if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
  }
  for (const event of ["load", "resize"]) window.addEventListener(event, reachable);
})();
