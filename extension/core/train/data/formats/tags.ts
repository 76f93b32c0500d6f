import { t } from "@vscode/l10n";
import { fault } from "../example.ts";
import { isLabel, listOf } from "../fields.ts";
import type { FieldNames, RecordFormat } from "./recordFormat.ts";

/** Words with a label each. */
export function tagged(fields: FieldNames): RecordFormat {
  const [wordName, tagName] = [fields.words ?? "tokens", fields.tags ?? "tags"];
  return {
    format: "tags",
    task: "token-classification",
    fields: { words: wordName, tags: tagName },
    read: (record) => {
      const [words, tags] = [listOf(record[wordName]), listOf(record[tagName])];
      if (!words?.every((each) => typeof each === "string"))
        return fault([wordName], t("“{0}” has to be a list of words.", wordName));
      if (!tags?.every(isLabel))
        return fault([tagName], t("“{0}” has to be a list of labels, names or numbers.", tagName));
      if (words.length !== tags.length)
        return fault(
          [tagName],
          t("There are {0} words and {1} labels. Each word needs one.", words.length, tags.length),
        );
      return { kind: "tags", words, tags };
    },
  };
}
