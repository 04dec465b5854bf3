"""The page: wires the drawing pad, the reader and the view of the answer together; starts it all.

Serves the release that the reader finds; knows nothing of pixels or models. Needs nothing kept of
a visitor: every event brings its drawing or image along and takes its answer away.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from about_view import about_view, render_about
from answer_view import answer_view, render_answer, render_problem
from api import Endpoints, to_json
from drawing_pad import DrawingError, draw_strokes, drawing_pad
from inside_view import inside_view, read_seen, render_inside
from intake import MAX_BYTES
from limits import APP, MAX_RUNNING, MAX_SESSIONS, MAX_WAITING, UPDATE_SECONDS, Page
from reader import (
    Classifier,
    Explainer,
    Release,
    ReleaseError,
    UnreadableImageError,
    find_release,
    read_pin,
)
from theme import STYLES, THEME
from uploads import keeping_uploads_briefly
from waiting import wait

SPACE = Path(__file__).parent
EXAMPLES = ("two", "three", "four", "five", "seven", "nine", "letter", "star")
INTRODUCTION = """
<h1>Draw a digit</h1>
<p>A small neural network, trained on MNIST, reads it while you draw.</p>
"""

NO_ANSWER = "No answer came. Draw on, or choose the image again."

# A mirrored digit is none, and it lies on the table: a phone's camera at the back sees it.
CAMERA = gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": "environment"}})

OWN_EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
READING = {"trigger_mode": "always_last", **OWN_EVENT}
# Past the queue, whose two further requests take longer than the answer. A page has one drawing on
# its way at a time, so many visitors slow each other down and nobody's requests pile up.
LIVE = {"queue": False, **READING}


def main() -> None:
    """Serve the release, as soon as it can be loaded."""
    satisfy_zero_gpu()
    classifier = load_or_wait()
    gr.set_static_paths([SPACE / "examples"])  # as uploads they would be swept away
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to tidy up, as after Ctrl-C
    with keeping_uploads_briefly():
        endpoints = Endpoints(classifier)
        page = build_page(classifier, endpoints)
        page.queue(
            max_size=MAX_WAITING,
            default_concurrency_limit=MAX_RUNNING,
            status_update_rate=UPDATE_SECONDS,
            api_open=False,
        )
        page.launch(
            theme=THEME,
            css_paths=STYLES,
            footer_links=["api"],
            max_file_size=MAX_BYTES,
            state_session_capacity=MAX_SESSIONS,
            app_kwargs=APP | {"lifespan": endpoints.running},
            run_history=False,
            enable_monitoring=False,
        )


def load_or_wait() -> Classifier:
    """Load the release, or show that it cannot be loaded until it can.

    A model of this machine is not waited for: it has to be made.
    """
    try:
        return load()
    except ReleaseError as error:
        if not read_pin() or os.environ.get("MODEL_DIR"):
            sys.exit(f"This Space cannot start. {error}")
        print(f"The page waits for its model. {error}", flush=True)
    return wait(load)


def load() -> Classifier:
    """Find and load the release; fetch it anew where an earlier start's copy is damaged."""
    release = find_release()
    try:
        return Classifier(release)
    except ReleaseError:
        if not release.id:
            raise
        return Classifier(find_release(anew=True))


def satisfy_zero_gpu() -> None:
    """Where the Space runs on ZeroGPU, name it a function: it starts no app without one.

    Nothing here needs a GPU; it is the hardware that free accounts get.
    """
    if "SPACES_ZERO_GPU" in os.environ and importlib.util.find_spec("spaces"):
        spaces = importlib.import_module("spaces")
        spaces.GPU(lambda: None)


def build_page(classifier: Classifier, endpoints: Endpoints) -> gr.Blocks:
    """Lay out the page and connect it; the answer is always that of the tab in sight."""
    read_drawing = partial(show_drawing, classifier)
    read_image = partial(show_image, classifier)
    page = Page(title="Draw a digit")
    with page:
        gr.HTML(
            INTRODUCTION,
            js_on_load=(SPACE / "page.js").read_text("utf-8"),
            elem_id="introduction",
            apply_default_css=False,
        )
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="question"):
                with gr.Tabs() as tabs:
                    with gr.Tab("Draw", id="drawing") as drawing_tab:
                        pad = drawing_pad()
                    with gr.Tab("Image", id="image") as image_tab:
                        image = image_input()
                examples = example_buttons()
            with gr.Column(elem_id="reply"):
                answer = answer_view(read_drawing([]))
        answer_for(pad, [pad.input, drawing_tab.select], read_drawing, answer, **LIVE)
        # Of the image's events only `change` comes for everything: a photo is no `upload`.
        changes = [image.change, image_tab.select]
        answer_for(image, changes, read_image, answer, preprocess=False, **READING)
        for file, button in examples.items():
            button.click(partial(open_example, file), None, [tabs, image], **OWN_EVENT)
        explain_inside(classifier.release)
        tell_about(classifier.release)
        endpoints.add()
    return page


def answer_for(
    asking: gr.HTML | gr.Image,
    events: list[Any],
    read: Callable[[Any], str],
    answer: gr.HTML,
    **options: Any,
) -> None:
    """Answer for a tab's value; what comes when another tab is in sight is not shown."""
    came = gr.HTML(visible=False)
    reading = gr.on(events, read, asking, came, **options)
    # Only the browser knows what is in sight by now.
    in_sight = f"document.querySelector('#{asking.elem_id}').clientWidth"
    reading.success(None, came, answer, js=f"(came) => {in_sight} ? came : undefined", **OWN_EVENT)
    failed = json.dumps(render_problem(NO_ANSWER))
    reading.failure(None, None, answer, js=f"() => {in_sight} ? {failed} : undefined", **OWN_EVENT)


def explain_inside(release: Release) -> None:
    """Add the part that explains what the model sees, while it is open."""
    load = functools.cache(lambda: Explainer(release))  # few visitors open it
    with gr.Accordion("Look inside", open=False, elem_classes="part"):
        asking, inside = inside_view()
    asking.input(partial(show_inside, load), asking, inside, **READING)


def tell_about(release: Release) -> None:
    """Add the part that tells which model this is; its pictures come when it is opened."""
    with gr.Accordion("About this model", open=False, elem_classes="part") as part:
        about = about_view()
    part.expand(partial(render_about, release), None, about, **OWN_EVENT)


def image_input() -> gr.Image:
    """Make the input for a file, dropped, pasted or chosen, or for a photo."""
    return gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        label="Image file",
        show_label=False,
        container=False,
        buttons=[],
        webcam_options=CAMERA,
        placeholder="Drop an image of one digit, or click to choose it",
        elem_id="image-input",
    )


def example_buttons() -> dict[Path, gr.Button]:
    """Make a button for each example, its picture on it."""
    files = [SPACE / "examples" / f"{name}.png" for name in EXAMPLES]
    with gr.Row(elem_id="examples"):
        gr.HTML("Examples", apply_default_css=False)
        return {file: gr.Button(f"Example: {file.stem}", icon=file, min_width=0) for file in files}


def show_drawing(classifier: Classifier, strokes: Any) -> str:
    """Answer for the drawing pad's value, as HTML."""
    try:
        drawing = draw_strokes(strokes)
    except DrawingError as error:
        return render_problem(str(error))
    return render_answer(to_json(classifier.classify(drawing), classifier.release))


def show_image(classifier: Classifier, image: dict[str, Any] | None) -> str:
    """Answer for the image tab's value, as HTML."""
    if image is None:
        return show_drawing(classifier, [])
    try:
        return render_answer(read_upload(classifier, image))
    except UnreadableImageError as error:
        return render_problem(str(error))


def show_inside(load: Callable[[], Explainer], seen: Any) -> str:
    """Explain the picture that the browser sends back, as HTML; nothing for none."""
    if not seen:
        return ""
    try:
        pixels = read_seen(seen)
        return render_inside(pixels, load().explain(pixels))
    except UnreadableImageError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except ReleaseError as error:
        print(error, flush=True)  # for who can mend it
        said = "There is nothing to see inside at the moment."
        raise gr.Error(said, print_exception=False) from None


def open_example(file: Path) -> tuple[gr.Tabs, Path]:
    """Show an example in the image tab, as if the visitor had dropped it there."""
    return gr.Tabs(selected="image"), file


def read_upload(classifier: Classifier, image: dict[str, Any] | None) -> dict[str, Any]:
    """Answer for a file as Gradio describes it, in the form of the API.

    The file comes as it was sent: Gradio's own decoding loses what transparent images show.

    Raises:
        UnreadableImageError: If there is no file, or it is not an image.
    """
    if not image or not image["path"]:
        raise UnreadableImageError("No file was sent. Pass an image file.")
    if not Path(image["path"]).is_file():
        raise UnreadableImageError("This image is no longer here. Choose it again.")
    return to_json(classifier.classify(image["path"]), classifier.release)


if __name__ == "__main__":
    main()
