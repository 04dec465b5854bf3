// The drawing pad in the browser. Gradio runs this once, with `element`, `props` and `trigger`.
// Keeps the strokes as points, paints them, and sends them to Python as the pad's value.

const SEND_EVERY_MS = 150;

const pad = element.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const [undo, clear] = pad.querySelectorAll("button");
const brush = canvas.getContext("2d");

let strokes = [];
let pointer = null; // the one that is drawing; a second finger must not draw along
let timer = null;

function paint() {
  const scale = canvas.width / props.units;
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.clearRect(0, 0, props.units, props.units);
  brush.strokeStyle = brush.fillStyle = getComputedStyle(canvas).color;
  brush.lineCap = brush.lineJoin = "round";
  brush.lineWidth = props.pen_width;
  strokes.forEach(paintStroke);
}

function paintStroke(points) {
  const [[x, y]] = points;
  brush.beginPath();
  brush.arc(x, y, props.pen_width / 2, 0, 2 * Math.PI); // a tap: canvas paints no line of length 0
  brush.fill();
  brush.beginPath();
  points.forEach((point) => brush.lineTo(...point));
  brush.stroke();
}

function update() {
  pad.dataset.strokes = strokes.length;
  undo.disabled = clear.disabled = strokes.length === 0;
  paint();
}

function send() {
  clearTimeout(timer);
  timer = null;
  props.value = structuredClone(strokes); // a new object each time: Gradio compares by identity
  trigger("input");
}

function addPoint(event) {
  const box = canvas.getBoundingClientRect();
  strokes.at(-1).push([
    Math.round(((event.clientX - box.left) / box.width) * props.units),
    Math.round(((event.clientY - box.top) / box.height) * props.units),
  ]);
}

canvas.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer); // a stroke that leaves the pad goes on
  strokes.push([]);
  addPoint(event);
  update();
});

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const between = event.getCoalescedEvents?.() ?? []; // what the pen did since the last frame
  (between.length ? between : [event]).forEach(addPoint);
  update();
  timer ??= setTimeout(send, SEND_EVERY_MS);
});

canvas.addEventListener("lostpointercapture", (event) => {
  if (event.pointerId !== pointer) return;
  pointer = null;
  send();
});

undo.addEventListener("click", () => {
  strokes.pop();
  update();
  send();
});

clear.addEventListener("click", () => {
  strokes = [];
  update();
  send();
});

new ResizeObserver(() => {
  canvas.width = canvas.height = Math.round(canvas.clientWidth * devicePixelRatio);
  paint();
}).observe(canvas);
