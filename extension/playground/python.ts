import type { Script } from "./script.ts";

/** Python that does the same with transformers and peft. */
export function pythonOf(script: Script): string {
  const { title, adapters } = script;
  const imports = [
    "from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed",
    ...(adapters.length > 0 ? ["from peft import PeftModel"] : []),
  ];
  return [
    `# ${title}`,
    "# Needs: pip install torch transformers peft",
    ...imports,
    "",
    `base = ${literal(script.base.path)}`,
    "tokenizer = AutoTokenizer.from_pretrained(base)",
    "model = AutoModelForCausalLM.from_pretrained(base)",
    ...attach(script),
    "model.eval()",
    "",
    "messages = [",
    ...script.messages.map(
      ({ role, content }) => `    {"role": ${literal(role)}, "content": ${literal(content)}},`,
    ),
    "]",
    ...inputs(script),
    ...generate(script),
    'answer = output[0][inputs["input_ids"].shape[1] :]',
    "print(tokenizer.decode(answer, skip_special_tokens=True))",
    "",
  ].join("\n");
}

function inputs({ base }: Script): string[] {
  if (base.hasChatTemplate) {
    return [
      "inputs = tokenizer.apply_chat_template(",
      '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
      ")",
    ];
  }
  return [
    "# The base has no chat template: the messages are one text.",
    'prompt = "\\n\\n".join(message["content"] for message in messages)',
    'inputs = tokenizer(prompt, return_tensors="pt")',
  ];
}

function attach({ adapters }: Script): string[] {
  const [first, ...others] = adapters;
  if (!first) return [];
  const lines = [
    `model = PeftModel.from_pretrained(model, ${literal(first.path)}, adapter_name=${literal(first.name)})`,
    ...others.map(
      ({ name, path }) => `model.load_adapter(${literal(path)}, adapter_name=${literal(name)})`,
    ),
  ];
  const isPlain = adapters.every(({ weight }) => weight === 1);
  if (isPlain && others.length === 0)
    return [...lines, `model.set_adapter(${literal(first.name)})`];
  const names = `[${adapters.map(({ name }) => literal(name)).join(", ")}]`;
  const isLora = adapters.every(({ method }) => method === "LoRA");
  if (!isLora) {
    return [
      ...lines,
      ...(isPlain
        ? []
        : ["# PEFT mixes only LoRA by weight: these take part as they were trained."]),
      `model.base_model.set_adapter(${names})`,
    ];
  }
  const weights = `[${adapters.map(({ weight }) => weight).join(", ")}]`;
  return [
    ...lines,
    "# Concatenation keeps each adapter's change whole: the sum of all, each times its weight.",
    `model.add_weighted_adapter(${names}, ${weights}, adapter_name="mix", combination_type="cat")`,
    'model.set_adapter("mix")',
  ];
}

function generate({ settings }: Script): string[] {
  const { sampling, stop, json } = settings;
  const { temperature, topP, topK, repetitionPenalty, maxNewTokens, seed } = sampling;
  const isGreedy = temperature === 0;
  const sampled = isGreedy
    ? ["do_sample=False"]
    : [`do_sample=True`, `temperature=${temperature}`, `top_p=${topP}`, `top_k=${topK}`];
  const options = [
    `max_new_tokens=${maxNewTokens}`,
    ...sampled,
    ...(repetitionPenalty === 1 ? [] : [`repetition_penalty=${repetitionPenalty}`]),
    ...(!json.isOn && stop.length > 0
      ? [`stop_strings=[${stop.map(literal).join(", ")}]`, "tokenizer=tokenizer"]
      : []),
  ];
  return [
    ...(isGreedy
      ? []
      : [
          "# The same seed draws other tokens here: torch has a random generator of its own.",
          `set_seed(${seed ?? 0})`,
        ]),
    ...(json.isOn
      ? ["# JSON mode is Graft's; transformers needs a library such as outlines for it."]
      : []),
    "output = model.generate(",
    "    **inputs,",
    ...options.map((option) => `    ${option},`),
    ")",
  ];
}

/** A Python string literal; JSON's escapes are Python's too, but for those beyond 16 bits. */
function literal(text: string): string {
  return JSON.stringify(text);
}
