"""A visitor's hand: the ten digits as it wrote them, a finger, a pen; and what it looks for."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from training.bench.page import GLIDE_MS, Point, place

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
ONE = [(0.5, 0.2), (0.5, 0.5), (0.49, 0.8)]
WRITTEN = {  # right and down from the pad's corner, in hundredths of its side, stroke by stroke
    0: "52,20 40,24 33,36 30,52 34,68 43,78 54,79 65,71 70,56 68,38 61,25 52,20 48,21",
    1: "52,18 51,34 51,50 50,66 50,82",
    2: "31,34 35,24 46,19 58,22 64,32 61,44 52,56 41,67 31,77 44,76 58,76 71,77",
    3: "33,25 43,19 55,20 62,28 60,39 50,46 44,47 56,49 64,57 65,68 57,78 44,80 33,75",
    4: "38,20 35,34 32,50 45,51 58,50 70,49 / 60,22 59,40 58,58 57,80",
    5: "37,22 36,34 35,45 45,41 57,43 66,52 66,65 58,76 45,80 33,76 / 37,22 50,21 64,20",
    6: "58,18 46,27 38,41 34,57 36,70 45,79 57,79 65,71 64,60 55,53 44,56 36,65",
    7: "30,24 42,23 56,23 69,23 63,36 56,50 50,64 46,80",
    8: "61,28 52,20 42,22 38,31 43,40 53,48 62,57 64,69 56,79 44,79 37,70 41,58 51,49 60,40 62,29",
    9: "63,31 54,21 43,23 36,33 38,45 48,50 58,45 64,34 64,30 63,45 61,62 58,81",
}


def strokes_of(digit: int) -> list[list[Point]]:
    """The strokes of a digit, in parts of the pad's side."""
    strokes = [stroke.split() for stroke in WRITTEN[digit].split("/")]
    pairs = [[point.split(",") for point in stroke] for stroke in strokes]
    return [[(int(x) / 100, int(y) / 100) for x, y in stroke] for stroke in pairs]


def touch(page: Page, points: list[Point], ends: str = "touchEnd") -> None:
    """Draw with a finger; it may be taken back ("touchCancel"), or stay ("")."""
    finger = page.context.new_cdp_session(page)
    kinds = ["touchStart"] + ["touchMove"] * (len(points) - 1)
    for kind, point in zip(kinds, points, strict=True):
        x, y = place(page, point)
        touches = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
        finger.send("Input.dispatchTouchEvent", touches)
    if ends:
        finger.send("Input.dispatchTouchEvent", {"type": ends, "touchPoints": []})


def press_pen(page: Page, points: list[Point], force: float) -> None:
    """Draw with a pen that is pressed as hard as `force`, 0 to 1."""
    pen = page.context.new_cdp_session(page)
    kinds = ["mousePressed"] + ["mouseMoved"] * (len(points) - 1) + ["mouseReleased"]
    for kind, point in zip(kinds, [*points, points[-1]], strict=True):
        x, y = place(page, point)
        pen.send(
            "Input.dispatchMouseEvent",
            {
                "type": kind,
                "x": x,
                "y": y,
                "button": "left",
                "buttons": 1,
                "clickCount": 1,
                "pointerType": "pen",
                "force": force,
            },
        )


def expect_digit(page: Page, digit: int) -> None:
    expect(page.locator(".answer .digit")).to_have_text(str(digit))


def expect_nothing_drawn(page: Page) -> None:
    expect(page.locator(".answer.blank .sentence")).to_contain_text("Nothing to read yet")


def screenshot(page: Page, name: str, whole: bool = False) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(GLIDE_MS)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)


def pixels(data_url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data_url.split(",")[1])))


def canvas(page: Page) -> Image.Image:
    """What the pad shows, its ink alone."""
    return pixels(page.evaluate("document.querySelector('#drawing-pad canvas').toDataURL()"))
