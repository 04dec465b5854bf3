// Asks for an explanation of what the model sees, whenever that changes while this is open.
// Gradio runs this once, with `element`, `props` and `trigger`.

const answer = document.querySelector("#answer");

function ask() {
  const seen = answer.querySelector(".pixels img")?.src ?? "";
  if (!element.clientHeight || seen === (props.value ?? "")) return; // closed, or known
  props.value = seen;
  trigger("input");
}

new ResizeObserver(ask).observe(element); // as it does when it is opened
new MutationObserver(ask).observe(answer, { subtree: true, childList: true, attributes: true });
