// The drawing pad in the browser. Gradio runs this once, with `element`, `props`, `trigger` and `watch`.
// Keeps the strokes as points, paints them, and sends them to Python as the pad's value. They outlive
// a reload, as Gradio makes one after a lost connection, and end with the browser's tab.

const SEND_EVERY_MS = 150;
const KEPT_AS = "drawing-pad"; // in the tab's storage
const CLOSEST = 4; // points nearer than that to the one before add nothing, in the pad's units
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const pad = element.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const nib = pad.querySelector(".nib");
const penState = pad.querySelector(".pen-state");
const width = pad.querySelector(".width");
const [undo, redo, clear] = pad.querySelectorAll("button");
const brush = canvas.getContext("2d");

let drawings = [[]]; // every drawing since the page was opened; each a list of strokes
let now = 0; // which of them is on the sheet
let stroke = null; // the one that is being drawn
let pointer = null; // the event that began it; a second finger must not draw along
let timer = null;
let place = [props.units / 2, props.units / 2]; // of the keyboard's pen

const strokes = () => (stroke ? [...drawings[now], stroke] : drawings[now]);

// --- on the sheet

function paint() {
  const scale = canvas.width / props.units;
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.clearRect(0, 0, props.units, props.units);
  brush.strokeStyle = brush.fillStyle = getComputedStyle(canvas).color;
  brush.lineCap = brush.lineJoin = "round";
  strokes().forEach(paintStroke);
}

function paintStroke(points) {
  // As in Python: a curve around each point, from the middle before it to the middle after it.
  let drawn = null; // the width of what is being drawn: one line as long as it stays the same
  points.forEach(([x, y, width], i) => {
    const [before, after] = [points[i - 1] ?? points[i], points[i + 1] ?? points[i]];
    if (width !== drawn) {
      if (drawn) brush.stroke();
      brush.lineWidth = drawn = width;
      brush.beginPath();
      brush.moveTo((before[0] + x) / 2, (before[1] + y) / 2);
    }
    brush.quadraticCurveTo(x, y, (x + after[0]) / 2, (y + after[1]) / 2);
  });
  brush.stroke();
  const [x, y, width] = points[0];
  brush.beginPath();
  brush.arc(x, y, width / 2, 0, 2 * Math.PI); // a tap: a canvas strokes no line of length 0
  brush.fill();
}

function update() {
  pad.dataset.strokes = strokes().length;
  undo.disabled = now === 0;
  redo.disabled = now === drawings.length - 1;
  clear.disabled = strokes().length === 0;
  paint();
}

function send() {
  clearTimeout(timer);
  timer = null;
  props.value = structuredClone(strokes()); // a new object each time: Gradio compares by identity
  trigger("input");
}

// --- drawing

function begin(point) {
  stroke = [point];
  update();
}

function go(points) {
  for (const point of points) {
    const last = stroke.at(-1);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= CLOSEST) stroke.push(point);
  }
  update();
  timer ??= setTimeout(send, SEND_EVERY_MS);
}

function drop() {
  pointer = stroke = null;
  update();
  send();
}

function end() {
  const drawing = strokes();
  stroke = null;
  show(drawing);
}

function show(drawing) {
  drawings = [...drawings.slice(0, now + 1), drawing];
  step(1);
}

function step(by) {
  if (stroke || !(now + by in drawings)) return;
  now += by;
  update();
  keep();
  send();
}

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  const pressed = event.pointerType === "pen" && event.pressure > 0;
  const pressure = pressed ? props.hardest - 1 + event.pressure : 1; // pressed by half: as chosen
  return [
    Math.round(((event.clientX - box.left) / box.width) * props.units),
    Math.round(((event.clientY - box.top) / box.height) * props.units),
    Math.round(width.value * pressure),
  ];
}

const draws = (event) => event.pointerId === pointer?.pointerId;
const isTouch = (event) => event?.pointerType === "touch";

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (event.pointerType === "pen" && isTouch(pointer)) drop(); // the hand that holds the pen
  if (pointer) return;
  if (stroke) end(); // the one that the keyboard began
  pointer = event;
  canvas.setPointerCapture(event.pointerId); // a stroke that leaves the pad goes on
  nib.hidden = true;
  begin(pointOf(event));
});

canvas.addEventListener("pointermove", (event) => {
  if (!draws(event) || !canvas.clientWidth) return; // another tab was opened meanwhile
  const between = event.getCoalescedEvents?.() ?? []; // what the pen did since the last frame
  go((between.length ? between : [event]).map(pointOf));
});

canvas.addEventListener("pointercancel", (event) => {
  if (draws(event) && isTouch(event)) drop(); // it was a palm, or the system's gesture
});

canvas.addEventListener("lostpointercapture", (event) => {
  if (!draws(event)) return;
  pointer = null;
  end();
});

// --- over a reload

function keep() {
  // Of each drawing what it has beyond the one before: a stroke, or null where it was cleared.
  const steps = drawings.slice(1).map((drawing) => drawing.at(-1) ?? null);
  try {
    sessionStorage.removeItem(KEPT_AS); // rather none than an old one, where this is too long
    sessionStorage.setItem(KEPT_AS, JSON.stringify({ steps, at: now }));
  } catch {} // there is no room, or a frame of another site may keep nothing
}

function recall() {
  try {
    const { steps, at } = JSON.parse(sessionStorage.getItem(KEPT_AS));
    const isWhole = steps.every((step) => step === null || isStroke(step));
    const isThere = Number.isInteger(at) && at >= 0 && at <= steps.length;
    if (!isWhole || !isThere) return;
    for (const step of steps) drawings.push(step ? [...drawings.at(-1), step] : []);
    now = at;
  } catch {
    return; // nothing is kept, or it is damaged
  }
  update();
  send();
}

function isStroke(points) {
  // As in Python; a captured pointer may leave the pad.
  const isNear = (at) => Number.isFinite(at) && Math.abs(at) <= props.farthest;
  const isWidth = (width) => width > 0 && width <= props.hardest * props.widest_pen;
  const isPoint = (point) => point.length === 3 && point.every(isNear) && isWidth(point[2]);
  return points.length > 0 && points.every(isPoint);
}

// --- by keyboard

canvas.addEventListener("keydown", (event) => {
  if (pointer || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key in ARROWS) {
    const far = event.shiftKey ? 10 : 40;
    place = place.map((at, i) => Math.min(Math.max(at + far * ARROWS[event.key][i], 0), props.units));
    if (stroke) go([[...place, Number(width.value)]]);
  } else if (event.key === " ") {
    if (!event.repeat) stroke ? end() : begin([...place, Number(width.value)]);
  } else return;
  event.preventDefault();
  showNib();
});

canvas.addEventListener("focus", () => {
  if (!pointer && canvas.matches(":focus-visible")) showNib();
});

function showNib() {
  nib.hidden = false;
  nib.classList.toggle("down", stroke !== null);
  nib.style.left = `${(place[0] / props.units) * 100}%`;
  nib.style.top = `${(place[1] / props.units) * 100}%`;
  penState.textContent = stroke ? "Pen down" : "Pen up";
}

canvas.addEventListener("blur", () => {
  nib.hidden = true;
  if (stroke && !pointer) end();
});

document.addEventListener("keydown", (event) => {
  if (!canvas.clientWidth || !(event.ctrlKey || event.metaKey)) return; // another tab is open
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) step(1);
  else if (key === "z") step(-1);
  else return;
  event.preventDefault();
});

// --- tools

undo.addEventListener("click", () => step(-1));
redo.addEventListener("click", () => step(1));
clear.addEventListener("click", () => show([]));

function fit() {
  canvas.width = canvas.height = Math.round(canvas.clientWidth * devicePixelRatio);
  paint();
}

new ResizeObserver(fit).observe(canvas);
addEventListener("resize", fit); // zooming changes the ratio alone
recall();
watch("value", send); // at load Gradio puts its own first value back, after this has run
