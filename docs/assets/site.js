/* Tables and code that are wider than the page can be scrolled by keyboard too. */
(function () {
  const regions = ".md-typeset__scrollwrap, .md-typeset pre > code";
  function reach() {
    document.querySelectorAll(regions).forEach(function (region) {
      if (region.scrollWidth > region.clientWidth) {
        region.tabIndex = 0;
        region.setAttribute("role", "region");
        region.setAttribute("aria-label", "can be scrolled sideways");
      }
    });
  }
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
})();
