// What is typed into a field is taken with every key that ends the typing.
//
// Streamlit takes a date when the focus goes elsewhere, and a number at Enter or then. Escape closes
// a popover and removes its fields before that, and a key that runs the page leaves the focus where
// it is: what was typed was dropped without a word. So the focus goes elsewhere first. A value that
// its field refuses keeps the popover open, with the reason beneath it.
(() => {
  const FIELDS = ["DateInput", "TimeInput", "NumberInput", "TextInput"]
    .map((name) => `[data-testid="st${name}"]`).join();
  addEventListener("keydown", (event) => {
    const { key, target } = event;
    const field = key === "Escape" || key === "Enter" ? target.closest?.(FIELDS) : null;
    if (!field || !target.matches("input, [role=spinbutton]")) return;
    field.tabIndex = -1;
    field.focus({ preventScroll: true });
    field.removeAttribute("tabindex");
    const isRefused = target.validity?.valid === false || target.ariaInvalid === "true";
    if (key === "Enter" || isRefused) target.focus({ preventScroll: true });
    if (key === "Escape" && isRefused && field.closest('[data-testid="stPopoverBody"]')) {
      event.preventDefault();
      event.stopPropagation();
    }
  }, true);
})();
