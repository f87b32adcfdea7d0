"use strict";
// Heads of sortable tables become buttons that sort the rows; without this script the table is whole, in its order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const head of table.querySelectorAll("th[data-column]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const column = Number(head.dataset.column);
      body.append(...[...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column], up ? 1 : -1)));
    });
  }
}

// Numbers by size and names as people count them; cells without a value come last either way.
function compare(a, b, sign) {
  const [x, y] = [a.dataset.value, b.dataset.value];
  if (x === undefined && y === undefined) {
    return sign * a.textContent.trim().localeCompare(b.textContent.trim(), "en", { numeric: true });
  }
  if (x === "" || y === "") return (x === "") - (y === "");
  return sign * (Number(x) - Number(y));
}
