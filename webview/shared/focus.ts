/**
 * Runs a rendering that replaces elements and gives the focus back to the element of the same id,
 * or to its neighbour when that element is now disabled.
 */
export function keepFocus(render: () => void): void {
  const id = document.activeElement?.id;
  render();
  if (id === undefined || id === "" || document.activeElement?.id === id) return;
  let again = document.getElementById(id);
  if (again && "disabled" in again && again.disabled === true) {
    again = again.nextElementSibling instanceof HTMLElement ? again.nextElementSibling : null;
  }
  again?.focus({ preventScroll: true });
}
