import { type ToolkitTags } from "./toolkit.ts";

type Tags = HTMLElementTagNameMap & ToolkitTags;
type Child = Node | string | null | undefined | false;

export interface ElementOptions {
  class?: string;
  /** Attributes; true sets an empty one, false and undefined leave it out. */
  attributes?: Record<string, string | number | boolean | undefined>;
  /** Custom properties that the style sheet reads, without the leading dashes. */
  variables?: Record<string, string | number>;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
}

/** Builds DOM without markup: text stays text, whatever a file or a model put into it. */
export function element<K extends keyof Tags>(
  tag: K,
  options: ElementOptions = {},
  ...children: Child[]
): Tags[K] {
  const made = document.createElement(tag) as Tags[K];
  if (options.class !== undefined) made.className = options.class;
  for (const [name, value] of Object.entries(options.attributes ?? {})) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  for (const [name, value] of Object.entries(options.variables ?? {})) {
    made.style.setProperty(`--${name}`, String(value));
  }
  for (const [name, listener] of Object.entries(options.on ?? {})) {
    made.addEventListener(name, listener as EventListener);
  }
  append(made, ...children);
  return made;
}

/** Appends what is there; null, undefined and false stand for "nothing here". */
export function append(parent: ParentNode, ...children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

/** Sets an attribute or removes it. */
export function setAttribute(target: Element, name: string, value: string | null): void {
  if (value === null) target.removeAttribute(name);
  else if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}
