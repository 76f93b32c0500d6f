import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { Parameter } from "./trainable.ts";

/** What PEFT's files put before a module's path. */
export const peftPrefix = "base_model.model.";

/** The same of prompt methods, whose base nothing is put around. */
export const promptPrefix = "base_model.";

/** Graph inputs of parameters, declared when a layer first asks for them. */
export class ParameterInputs {
  private readonly known: ReadonlyMap<string, Parameter>;
  private readonly declared = new WeakMap<GraphBuilder, Set<string>>();

  constructor(parameters: readonly Parameter[]) {
    this.known = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  }

  has(name: string): boolean {
    return this.known.has(name);
  }

  /** The input of a parameter in the graph that is being built. */
  in(g: GraphBuilder, name: string): Value {
    const parameter = this.known.get(name);
    if (!parameter)
      throw new GraftError(
        "internal",
        t("There is no parameter {0}. Report this with the adapter_config.json.", name),
      );
    return this.declare(g, name, () => g.input(name, "float32", parameter.shape));
  }

  /** An input that is declared once in each graph. */
  declare(g: GraphBuilder, name: string, make: () => Value): Value {
    const own = this.declared.get(g) ?? new Set<string>();
    this.declared.set(g, own);
    if (own.has(name)) return name as Value;
    own.add(name);
    return make();
  }
}
