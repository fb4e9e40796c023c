// A click on a head sorts in the more useful direction, a second in the other, a third restores.
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
    const directions = words ? ["ascending", "descending"] : ["descending", "ascending"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      const direction = directions[directions.indexOf(head.getAttribute("aria-sort")) + 1];
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      const sign = direction === "descending" ? -1 : 1;
      const sorted = direction
        ? [...rows].sort((a, b) => sign * compare(key(a, column), key(b, column)))
        : rows;
      body.append(...sorted);
      if (direction) head.setAttribute("aria-sort", direction);
    });
    head.append(button);
  });
}
