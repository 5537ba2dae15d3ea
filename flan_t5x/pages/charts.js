// What the curves are at the place under the pointer, or where the arrow keys have gone.
const place = (x) => (Number.isInteger(x) ? number(x) : String(Number(x.toPrecision(4))));
const said = ([, y, , low, high]) => (low === undefined ? `${y}` : `${y} [${low}, ${high}]`);
for (const plot of document.querySelectorAll(".plot")) {
  const curves = JSON.parse(plot.dataset.curves);
  const places = new Map(); // x -> share of the width
  for (const curve of curves) for (const [x, , share] of curve.points) places.set(x, share);
  const xs = [...places.keys()].sort((a, b) => a - b);
  const reading = plot.parentElement.querySelector(".reading");
  const cursor = make("span", "cursor");
  let chosen = -1;
  const read = (index) => {
    chosen = Math.min(Math.max(index, 0), xs.length - 1);
    const x = xs[chosen];
    const values = curves.flatMap(({ name, points }) => points.filter((point) => point[0] === x).map((point) => `${name} ${said(point)}`));
    cursor.style.left = `${100 * places.get(x)}%`;
    plot.append(cursor);
    reading.textContent = `${plot.dataset.x} ${place(x)}: ${values.join(" · ")}`;
  };
  const leave = () => { cursor.remove(); reading.textContent = ""; };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const far = (index) => Math.abs(places.get(xs[index]) - share);
    read(xs.reduce((best, _, index) => (far(index) < far(best) ? index : best), 0));
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    read(chosen < 0 && event.key !== "End" ? 0 : chosen + steps[event.key]);
  });
}
