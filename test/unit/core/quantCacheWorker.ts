import { loadBaseModel } from "../../../extension/core/baseModel.ts";

/** Loads a base in int4 with a cache: one of two processes that do so at once. */
const [folder = "", quantCacheDir = ""] = process.argv.slice(2);
void loadBaseModel(folder, { precision: "int4", quantCacheDir }).then(({ session }) =>
  session.dispose(),
);
