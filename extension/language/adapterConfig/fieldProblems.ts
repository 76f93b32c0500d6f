/** What is wrong in a config by itself: its keys and values, without a base or weights. */
import { t } from "@vscode/l10n";
import type { ConfigDocument, Span } from "./document.ts";
import { accepts, type FieldTable } from "./fieldTable.ts";
import type { Fix, Problem } from "./problem.ts";
import { mostSimilar } from "./similar.ts";

/** Version of PEFT whose fields are known. */
const peftVersion = "0.21";

/** @param storedType the method that the tensors are of, where they tell */
export function fieldProblems(
  document: ConfigDocument,
  table: FieldTable,
  storedType: string | null,
): Problem[] {
  return [
    ...typeProblems(document, table, storedType),
    ...taskProblems(document, table),
    ...keyProblems(document, table),
    ...strengthProblems(document, table),
  ];
}

/** Where to say what concerns the whole file: the method's line, or the first brace. */
export function headOf(document: ConfigDocument): Span {
  const whole = { offset: document.text.indexOf("{"), length: 1 };
  return document.value(["peft_type"]) ?? whole;
}

function set(path: (string | number)[], value: unknown): Fix {
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  return { kind: "set", path, value, title: t("Set {0} to {1}", String(path.at(-1)), shown) };
}

function typeProblems(
  document: ConfigDocument,
  { types }: FieldTable,
  storedType: string | null,
): Problem[] {
  const type = document.fields["peft_type"];
  if (typeof type === "string" && types.includes(type)) {
    if (storedType === null || !isOther(type, storedType)) return [];
    return [
      {
        code: "method-disagrees",
        severity: "error",
        message: t(
          "The weights beside this file are {0} tensors, the config says {1}. Set peft_type to what they are, or put the right weights here.",
          storedType,
          type,
        ),
        at: headOf(document),
        fixes: [set(["peft_type"], storedType)],
      },
    ];
  }
  const isMissing = document.value(["peft_type"]) === null;
  const meant = typeof type === "string" ? mostSimilar(type, types) : undefined;
  const own = typeof type === "string" && types.includes(type.toUpperCase());
  const guess = own ? type.toUpperCase() : (meant ?? storedType ?? "LORA");
  return [
    {
      code: isMissing ? "method-missing" : "method-unknown",
      severity: "error",
      message: t(
        "The config does not say which method it is of: peft_type is missing or unknown. Methods are written in capitals, for example LORA.",
      ),
      at: headOf(document),
      fixes: [set(["peft_type"], guess)],
      // "Missing property" and "not accepted" come from the schema.
      isQuiet: true,
    },
  ];
}

/** Methods whose tensors are called as another method's are; what they are is not told by names. */
const alike: readonly (readonly string[])[] = [
  ["LORA", "ADALORA", "XLORA", "SHADOW", "SUPERTUNING"],
  ["MISS", "BONE"],
  ["PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "MULTITASK_PROMPT_TUNING", "CARTRIDGE"],
];

function isOther(type: string, stored: string): boolean {
  return type !== stored && !alike.some((group) => group.includes(type) && group.includes(stored));
}

function taskProblems(document: ConfigDocument, { taskTypes }: FieldTable): Problem[] {
  const { task_type: task, auto_mapping: mapping } = document.fields;
  if (typeof task === "string") {
    const meant = mostSimilar(task, taskTypes);
    if (taskTypes.includes(task) || meant === undefined) return [];
    const at = document.value(["task_type"]) ?? headOf(document);
    const fixes = [set(["task_type"], meant)];
    const message = t("PEFT {0} has no task type of this name.", peftVersion);
    return [{ code: "task-unknown", severity: "error", message, at, fixes, isQuiet: true }];
  }
  if (mapping || (task !== undefined && task !== null)) return [];
  return [
    {
      code: "task-missing",
      severity: "information",
      message: t(
        "task_type is not set: PEFT opens the base without knowing what it is for, and AutoPeftModel cannot open the adapter. CAUSAL_LM is a model that writes text.",
      ),
      at: document.value(["task_type"]) ?? headOf(document),
      fixes: taskTypes
        .toSorted((a, b) => Number(b === "CAUSAL_LM") - Number(a === "CAUSAL_LM"))
        .slice(0, 3)
        .map((each) => set(["task_type"], each)),
    },
  ];
}

function keyProblems(document: ConfigDocument, table: FieldTable): Problem[] {
  const type = document.fields["peft_type"];
  const known = table.fieldsOf(type);
  const given = new Set(Object.keys(document.fields));
  return [...given].flatMap((field): Problem[] => {
    const at = document.key([field]);
    if (at === null || known.has(field)) return [];
    const free = [...known.keys()].filter((name) => !given.has(name));
    const former = table.formerly(type, field);
    const meant = former || mostSimilar(field, free);
    const fixes: Fix[] =
      meant === undefined
        ? []
        : [{ kind: "rename", path: [field], to: meant, title: t("Rename to {0}", meant) }];
    return [
      {
        code: "key-unknown",
        severity: "information",
        message: keyMessage(field, { table, type, meant }),
        at,
        fixes: [...fixes, { kind: "remove", path: [field], title: t("Remove {0}", field) }],
        // A former name is struck out by the schema.
        isQuiet: former !== undefined,
      },
    ];
  });
}

function keyMessage(
  field: string,
  { table, type, meant }: { table: FieldTable; type: unknown; meant: string | undefined },
): string {
  const owners = table.ownersOf(field);
  const kept = t("PEFT {0} leaves it out, Graft keeps it on save.", peftVersion);
  if (meant !== undefined) {
    return [
      t("{0} does not know {1}: did you mean {2}?", table.classOf(type), field, meant),
      kept,
    ].join(" ");
  }
  if (owners.length > 0) {
    const some = owners.slice(0, 3).map((owner) => table.classOf(owner));
    return [
      t("{0} is a field of {1}, not of {2}.", field, some.join(", "), table.classOf(type)),
      kept,
    ].join(" ");
  }
  return [t("PEFT {0} does not know the field {1}.", peftVersion, field), kept].join(" ");
}

/** Values that PEFT takes and that do nothing, or not what they seem to. */
function strengthProblems(document: ConfigDocument, table: FieldTable): Problem[] {
  const known = table.fieldsOf(document.fields["peft_type"]);
  return ["lora_alpha", "alpha"].flatMap((field): Problem[] => {
    const value = document.fields[field];
    const at = document.value([field]);
    const schema = known.get(field);
    if (at === null || !schema || typeof value !== "number" || !accepts(schema, value)) return [];
    if (value > 0) return [];
    const fallback = typeof schema.default === "number" ? schema.default : 8;
    const to = value === 0 ? fallback : -value;
    return [
      {
        code: value === 0 ? "no-effect" : "negative-strength",
        severity: value === 0 ? "warning" : "information",
        message:
          value === 0
            ? t(
                "The adapter changes nothing: {0} is 0, and the update is multiplied by {0} / r.",
                field,
              )
            : t("{0} is negative: the update is taken away from the base instead of added.", field),
        at,
        fixes: [set([field], to)],
      },
    ];
  });
}
