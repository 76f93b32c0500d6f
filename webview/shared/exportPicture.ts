const copied = [
  ...["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity"],
  ...[
    "opacity",
    "font-family",
    "font-size",
    "font-weight",
    "text-anchor",
    "dominant-baseline",
    "paint-order",
  ],
];

/** Twice the size on screen: sharp in a document. */
const density = 2;

/** A picture as PNG in base64, in the colours that it has on the page. */
export async function svgToPng(svg: SVGSVGElement): Promise<string> {
  const { source, width, height, background } = standAlone(svg);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * density);
  canvas.height = Math.ceil(height * density);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This editor draws no canvas.");
  context.fillStyle = background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png").replace(/^data:image\/png;base64,/, "");
}

/** The picture without the page: what the theme's variables and style sheets make of it, spelled out. */
function standAlone(svg: SVGSVGElement): {
  source: string;
  width: number;
  height: number;
  background: string;
} {
  const isOnPage = svg.isConnected;
  if (!isOnPage) {
    svg.style.position = "absolute";
    svg.style.left = "-10000px";
    document.body.append(svg);
  }
  const width = Number(svg.getAttribute("width"));
  const height = Number(svg.getAttribute("height"));
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = [svg, ...svg.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, index) => {
    const target = to[index];
    if (!(target instanceof SVGElement)) return;
    const style = getComputedStyle(element);
    target.removeAttribute("style");
    target.removeAttribute("class");
    for (const name of copied) target.style.setProperty(name, style.getPropertyValue(name));
  });
  for (const style of copy.querySelectorAll("style")) style.remove();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("color", getComputedStyle(svg).color);
  const background = getComputedStyle(document.body).backgroundColor;
  if (!isOnPage) svg.remove();
  return { source: new XMLSerializer().serializeToString(copy), width, height, background };
}
