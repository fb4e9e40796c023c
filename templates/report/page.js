// Sorting: a click on a head goes the way that is most of use first, then the other, then back.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const number = (text) => Number(text.replaceAll(",", ""));
  const compare = (a, b) =>
    isNaN(number(a)) || isNaN(number(b))
      ? a.localeCompare(b, "en", { numeric: true })
      : number(a) - number(b);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const words = column === 0 || head.classList.contains("t");
    const ways = words ? ["ascending", "descending"] : ["descending", "ascending"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      const way = ways[ways.indexOf(head.getAttribute("aria-sort")) + 1];
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      const sign = way === "descending" ? -1 : 1;
      const sorted = way
        ? [...rows].sort((a, b) => sign * compare(key(a, column), key(b, column)))
        : rows;
      body.append(...sorted);
      if (way) head.setAttribute("aria-sort", way);
    });
    head.append(button);
  });
}
