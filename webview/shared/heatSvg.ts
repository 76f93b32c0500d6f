import { type HeatData } from "./heatData.ts";

const namespace = "http://www.w3.org/2000/svg";
const size = { width: 64, height: 22, gap: 2, font: 12, margin: 12 };

/** The heat map as a picture of its own, to be saved: cells with their numbers, names and totals. */
export function heatSvg(data: HeatData, title: string): SVGSVGElement {
  const labelWidth = 7 * Math.max(5, ...data.rows.map(({ label }) => label.length));
  const left = size.margin + labelWidth + 8;
  const top = size.margin + 52;
  const columnWidth = Math.max(
    size.width,
    ...data.columns.map(({ label }) => label.length * 7 + 8),
  );
  const width = left + data.columns.length * columnWidth + (data.total === null ? 0 : 80) + 12;
  const height = top + (data.rows.length + (data.total === null ? 0 : 1)) * size.height + 16;
  const svg = node("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const say = (content: string, at: Record<string, string | number>): void => {
    const made = node("text", { "font-size": size.font, ...at });
    made.style.fill = "var(--vscode-foreground)";
    made.style.fontFamily = "var(--vscode-font-family)";
    made.textContent = content;
    svg.append(made);
  };
  say(title, { x: size.margin, y: size.margin + 12, "font-weight": "bold" });
  data.columns.forEach(({ label }, column) =>
    say(label, { x: left + (column + 0.5) * columnWidth, y: top - 8, "text-anchor": "middle" }),
  );
  const middle = (row: number): number => top + row * size.height + 15;
  data.rows.forEach((row, index) => {
    say(row.label, { x: left - 8, y: middle(index), "text-anchor": "end" });
    data.columns.forEach((_, column) => {
      const cell = data.cell(index, column);
      if (!cell) return;
      const shade = cell.value === null ? 0 : data.scale.shade(cell.value);
      const x = left + column * columnWidth;
      svg.append(square(x, top + index * size.height, { width: columnWidth, shade }));
      // Dark text on a weak shade, the background's colour on a strong one.
      const made = { x: x + columnWidth / 2, y: middle(index), "text-anchor": "middle" };
      say(cell.short, { ...made, class: Math.abs(shade) > 0.6 ? "on-strong" : "" });
      const last = svg.lastElementChild;
      if (last instanceof SVGElement && Math.abs(shade) > 0.6) last.style.fill = "var(--surface)";
    });
    if (data.total !== null) {
      say(row.total ?? "", { x: width - 12, y: middle(index), "text-anchor": "end" });
    }
  });
  if (data.total !== null) {
    const y = middle(data.rows.length);
    data.columns.forEach(({ total }, column) =>
      say(total ?? "", { x: left + (column + 0.5) * columnWidth, y, "text-anchor": "middle" }),
    );
    say(data.total, { x: width - 12, y, "text-anchor": "end", "font-weight": "bold" });
  }
  return svg;
}

function square(x: number, y: number, cell: { width: number; shade: number }): SVGElement {
  const made = node("rect", {
    x,
    y,
    width: cell.width - size.gap,
    height: size.height - size.gap,
    rx: 3,
  });
  const hue = cell.shade < 0 ? "var(--accent-negative)" : "var(--accent)";
  const share = Math.round(12 + Math.abs(cell.shade) * 82);
  made.style.fill = `color-mix(in oklab, ${hue} ${share}%, var(--surface))`;
  return made;
}

function node(name: "svg", attributes: Record<string, string | number>): SVGSVGElement;
function node(name: string, attributes: Record<string, string | number>): SVGElement;
function node(name: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
