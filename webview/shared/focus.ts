/**
 * Runs a rendering that replaces elements and gives the focus back to the element of the same id,
 * or to its neighbour when that element is now disabled. What was selected in its text stays so: who
 * types notices nothing.
 */
export function keepFocus(render: () => void): void {
  const active = document.activeElement;
  const id = active?.id;
  const selection = isText(active) ? ([active.selectionStart, active.selectionEnd] as const) : null;
  render();
  if (id === undefined || id === "" || document.activeElement?.id === id) return;
  let again = document.getElementById(id);
  if (again && "disabled" in again && again.disabled === true) {
    again = again.nextElementSibling instanceof HTMLElement ? again.nextElementSibling : null;
  }
  again?.focus({ preventScroll: true });
  if (selection && isText(again)) again.setSelectionRange(...selection);
}

function isText(found: Element | null): found is HTMLInputElement | HTMLTextAreaElement {
  if (found instanceof HTMLTextAreaElement) return true;
  return found instanceof HTMLInputElement && found.type === "text";
}
