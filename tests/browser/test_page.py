"""The page, as a visitor uses it: a real Chromium, a real server, a mouse and a finger."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from space.reader import normalize
from training.deploy import SPACE

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
NO_BROWSER = "No Chromium found. Get one: apt install chromium, or playwright install chromium"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
SEVEN = [(0.3, 0.25), (0.5, 0.23), (0.7, 0.24), (0.62, 0.4), (0.53, 0.58), (0.47, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.5), (0.49, 0.8)]
BAR = [(0.35, 0.5), (0.65, 0.5)]

Point = tuple[float, float]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None and "CI" in os.environ:
            pytest.fail(NO_BROWSER)
        if path is None:
            pytest.skip(NO_BROWSER)
        options = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


def find_chromium(playwright: Playwright) -> str | None:
    own = playwright.chromium.executable_path
    names = ("chromium", "chromium-browser", "google-chrome")
    return own if Path(own).exists() else next(filter(None, map(shutil.which, names)), None)


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[OpenPage]:
    """Opens the page for a new visitor; in the end nobody's console may show an error."""
    visitors: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(**options: Any) -> Page:
        visitors.append(browser.new_context(**(DESKTOP | options)))
        page = visitors[-1].new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", watch)
        page.goto(url)
        page.locator("#drawing-pad canvas").hover()  # once Gradio's veil is off the page
        return page

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error":
            complaints.append(line.text)

    def watch(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            complaints.append(f"asks {request.url}")

    yield open_page
    for visitor in visitors:
        visitor.close()
    assert complaints == []


def place(page: Page, point: Point) -> Point:
    """Where a point of the pad, 0 to 1, is on the screen."""
    box = page.locator("#drawing-pad canvas").bounding_box()
    assert box
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def draw(page: Page, points: list[Point], lift: bool = True) -> None:
    page.mouse.move(*place(page, points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, point), steps=4)
    if lift:
        page.mouse.up()


def touch(page: Page, points: list[Point]) -> None:
    finger = page.context.new_cdp_session(page)
    kinds = ["touchStart"] + ["touchMove"] * (len(points) - 1)
    for kind, point in zip(kinds, points, strict=True):
        x, y = place(page, point)
        touches = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
        finger.send("Input.dispatchTouchEvent", touches)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def expect_digit(page: Page, digit: int) -> None:
    expect(page.locator(".answer .digit")).to_have_text(str(digit))


def expect_nothing_drawn(page: Page) -> None:
    expect(page.locator(".answer.blank .sentence")).to_contain_text("Nothing to read yet")


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(300)  # the bars glide for 180 ms
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def pixels(data_url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data_url.split(",")[1])))


def test_page_waits_calmly(open_page: OpenPage) -> None:
    page = open_page()
    expect_nothing_drawn(page)
    expect(page.get_by_role("button", name="Clear")).to_be_disabled()
    expect(page.locator(".toast-wrap")).to_be_empty()
    screenshot(page, "empty")


def test_stroke_is_answered_and_all_fits_a_laptop(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    expect(page.locator(".answer .likely .name")).to_have_text("7")
    expect(page.locator(".seen li").first).to_have_text("dark on light: inverted")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    screenshot(page, "desktop")


def test_answer_comes_while_the_pen_is_down(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN, lift=False)
    expect_digit(page, 7)


def test_stroke_that_leaves_the_pad_goes_on(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, [(0.5, 0.2), (0.5, 0.9), (0.5, 1.3)])
    expect(page.locator(".pad")).to_have_attribute("data-strokes", "1")
    page.mouse.move(*place(page, (0.2, 0.2)))
    expect_digit(page, 1)


def test_what_is_read_is_what_is_seen(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    draw(page, BAR)
    page.wait_for_timeout(500)
    canvas = page.evaluate("document.querySelector('#drawing-pad canvas').toDataURL()")
    seen = page.locator(".pixels img").get_attribute("src")
    assert seen
    difference = normalize(pixels(canvas)).pixels.astype(int) - np.asarray(pixels(seen))
    assert np.abs(difference).mean() < 3


def test_undo_takes_one_stroke_and_clear_all(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, ONE)
    expect_digit(page, 1)
    steps = page.locator(".seen li").all_text_contents()
    draw(page, BAR)
    expect(page.locator(".seen li").nth(1)).not_to_have_text(steps[1])
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".seen li").nth(1)).to_have_text(steps[1])
    page.get_by_role("button", name="Clear").press("Enter")
    expect_nothing_drawn(page)
    draw(page, SEVEN)
    expect_digit(page, 7)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_finger_draws_on_a_phone_without_scrolling(open_page: OpenPage, scheme: str) -> None:
    page = open_page(**PHONE, color_scheme=scheme)
    touch(page, SEVEN)
    expect_digit(page, 7)
    assert page.evaluate("[scrollX, scrollY]") == [0, 0]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.querySelector('canvas').width") > 1000  # crisp: 3 for each
    expect(page.locator(".bars li").last).to_be_in_viewport()
    screenshot(page, f"phone-{scheme}")


def test_dark_page(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    draw(page, SEVEN)
    expect_digit(page, 7)
    screenshot(page, "dark")


def upload(page: Page, file: Path) -> None:
    page.get_by_role("tab", name="Image").click()
    page.locator("#image-input input[type=file]").set_input_files(file)


def test_uploaded_file_is_answered_until_it_is_removed(open_page: OpenPage) -> None:
    page = open_page()
    upload(page, SPACE / "examples" / "nine.png")
    expect_digit(page, 9)
    page.get_by_role("button", name="Remove Image").click()
    expect_nothing_drawn(page)


def test_unreadable_file_is_one_sentence_and_no_alarm(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_text("not an image")
    page = open_page()
    upload(page, tmp_path / "digit.png")
    expect(page.locator(".answer.problem .sentence")).to_contain_text("Pass a PNG")
    expect(page.locator(".toast-wrap")).to_be_empty()
    screenshot(page, "unreadable")


def test_example_opens_in_the_image_tab(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    page.get_by_role("button", name="Example: five").click()
    expect_digit(page, 5)
    screenshot(page, "example")
    page.get_by_role("button", name="Example: two").click()
    expect_digit(page, 2)
    page.get_by_role("tab", name="Draw").click()
    expect_digit(page, 7)


def test_photo_is_answered(open_page: OpenPage) -> None:
    page = open_page(permissions=["camera"])
    page.get_by_role("tab", name="Image").click()
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    expect(page.locator(".answer:not(.blank) .seen img")).to_be_visible()


def test_two_visitors_keep_their_own_drawings(open_page: OpenPage) -> None:
    one, seven = open_page(), open_page()
    draw(one, ONE)
    draw(seven, SEVEN)
    expect_digit(one, 1)
    expect_digit(seven, 7)
    one.get_by_role("button", name="Clear").click()
    expect_nothing_drawn(one)
    expect_digit(seven, 7)
