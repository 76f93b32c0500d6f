/** What heat maps, charts and their frames say on every page. */
import { t } from "./l10n.ts";

export const text = {
  total: t("total"),
  legend: t("Legend"),
  place: (row: string, column: string) => t("{0}, {1}", row, column),
  outsideLayers: t("outside layers"),
  layer: (number: string) => t("layer {0}", number),
  viewAs: t("View as"),
  viewPicture: t("Picture"),
  viewTable: t("Table"),
  savePng: t("PNG"),
  saveCsv: t("CSV"),
  savePngOf: (picture: string) => t("Save as PNG: {0}", picture),
  saveCsvOf: (picture: string) => t("Save as CSV: {0}", picture),
  showAll: (all: string) => t("Show all {0}", all),
} as const;
