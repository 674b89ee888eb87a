/* Boxes that scroll sideways can be reached by the Tab key, and then be moved by the arrow keys: tables, code and
   pictures that are wider than the page. */
const boxes = document.querySelectorAll(".table-wrapper, .highlight pre, .picture");
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of boxes) observer.observe(box);
