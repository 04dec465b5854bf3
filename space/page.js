// An image that is pasted or dropped anywhere on the page is shown in the image tab, and read; and why
// there is no picture of a camera is said. Gradio runs this once.

const INPUT = "#image-input";
const CAMERA = {
  NotAllowedError: "The camera is not allowed here. Allow it in your browser, or upload a photo.",
  NotFoundError: "No camera was found. Upload a photo instead.",
  NotReadableError: "Something else uses the camera. Close it, or upload a photo.",
  AbortError: "The camera did not start. Try again, or upload a photo.",
};
const NO_CAMERA = "A camera needs a page opened by https. Upload a photo instead.";
const WAIT_MS = 50, TRIES = 1200; // a minute, which an upload may take

async function until(look) {
  for (let tries = 0; tries < TRIES; tries++) {
    const found = look();
    if (found) return found;
    await new Promise((go) => setTimeout(go, WAIT_MS));
  }
}

async function show(file) {
  const tabs = document.querySelectorAll("#question [role=tab]");
  [...tabs].find((tab) => tab.textContent.trim() === "Image").click();
  // Removes the image before, and brings the input back that the other sources hide.
  (await until(() => document.querySelector(`${INPUT} [aria-label="Upload file"]`))).click();
  await until(() => !document.querySelector(`${INPUT} img`)); // of the image before
  const input = await until(() => document.querySelector(`${INPUT} input[type=file]`));
  const carrier = new DataTransfer();
  carrier.items.add(file);
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function take(event, data) {
  const files = [...(data?.files ?? [])];
  const image = files.find((one) => one.type.startsWith("image/"));
  const file = image ?? (event.type === "drop" ? files[0] : null); // Gradio says what it takes
  if (file) show(file);
  if (file || event.type === "drop") event.preventDefault(); // else the browser leaves the page
}

document.addEventListener("paste", (event) => take(event, event.clipboardData));
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    if (event.target.closest?.(`${INPUT} .upload-container`)) return; // Gradio's own
    name === "drop" ? take(event, event.dataTransfer) : event.preventDefault();
  });
}

addEventListener("unhandledrejection", (event) => {
  const prompt = document.querySelector(`${INPUT} [title="grant webcam access"] .wrap`);
  const said = navigator.mediaDevices ? CAMERA[event.reason?.name] : NO_CAMERA;
  if (!prompt || !said) return;
  event.preventDefault(); // Gradio leaves it to the console
  prompt.lastChild.nodeValue = ` ${said}`;
});

document.addEventListener("click", (event) => {
  const tab = event.target.closest?.("#question [role=tab]");
  if (tab?.textContent.trim() !== "Draw" || !document.querySelector(`${INPUT} video`)) return;
  document.querySelector(`${INPUT} [aria-label="Upload file"]`).click(); // or the camera stays on
});
