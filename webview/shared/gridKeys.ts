export interface Position {
  row: number;
  column: number;
}

const pageOfRows = 10;

/** Where a key leads in an ARIA grid, or null when the grid does not use that key. */
export function movePosition(
  from: Position,
  key: string,
  size: { rows: number; columns: number; hasControl: boolean },
): Position | null {
  const lastRow = size.rows - 1;
  const lastColumn = size.columns - 1;
  const at = (row: number, column: number): Position => ({
    row: Math.max(0, Math.min(lastRow, row)),
    column: Math.max(0, Math.min(lastColumn, column)),
  });
  switch (key) {
    case "ArrowUp":
      return at(from.row - 1, from.column);
    case "ArrowDown":
      return at(from.row + 1, from.column);
    case "ArrowLeft":
      return at(from.row, from.column - 1);
    case "ArrowRight":
      return at(from.row, from.column + 1);
    case "Home":
      return at(size.hasControl ? 0 : from.row, 0);
    case "End":
      return at(size.hasControl ? lastRow : from.row, lastColumn);
    case "PageUp":
      return at(from.row - pageOfRows, from.column);
    case "PageDown":
      return at(from.row + pageOfRows, from.column);
    default:
      return null;
  }
}

/** The rows that are drawn of a long grid: those in view and some around them. */
export function rowWindow(
  scroll: { top: number; height: number },
  rows: { count: number; height: number },
): { first: number; end: number } {
  const around = 12;
  const first = Math.max(0, Math.floor(scroll.top / rows.height) - around);
  const shown = Math.ceil(scroll.height / rows.height) + 2 * around;
  const last = Math.max(0, rows.count - shown);
  return { first: Math.min(first, last), end: Math.min(rows.count, Math.min(first, last) + shown) };
}
