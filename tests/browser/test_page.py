"""The page, as a visitor uses it: a real Chromium, a real server."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from space.intake import MAX_BYTES
from tests.browser.conftest import OpenPage
from tests.browser.hand import ONE, PHONE, expect_digit, expect_nothing_drawn, screenshot
from training.bench.page import DESKTOP, SEVEN, await_pad, draw
from training.deploy import SPACE

CLIP = """async (url) => {
  const blob = await (await fetch(url)).blob();
  await navigator.clipboard.write([new ClipboardItem({ [blob.type]: blob })]);
}"""


DROP = """async (element, url) => {
  const blob = await (await fetch(url)).blob();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "digit", { type: blob.type }));
  const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  return !element.dispatchEvent(drop);
}"""


def address_of(example: str) -> str:
    """An example as a data address."""
    picture = (SPACE / "examples" / f"{example}.png").read_bytes()
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


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
    for part in ("#drawing-pad", "#examples", ".answer .bars", ".answer .seen"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    screenshot(page, "desktop")


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


@contextlib.contextmanager
def held_back(page: Page, requests: str) -> Iterator[None]:
    """Hold requests back until the block ends, and wait for what they bring."""
    held: list[Route] = []
    page.route(requests, lambda route: held.append(route))
    yield
    assert held
    while held:
        held.pop().continue_()
        page.wait_for_timeout(1000)
    page.unroute(requests)


@pytest.mark.parametrize("late", ["**/upload*", "**/queue/join*"])
def test_late_answer_for_an_image_is_not_shown_beside_the_drawing(
    open_page: OpenPage, late: str
) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    page.get_by_role("tab", name="Image").click()
    expect_nothing_drawn(page)
    with held_back(page, late):
        with page.expect_request(late):
            upload(page, SPACE / "examples" / "nine.png")
        page.get_by_role("tab", name="Draw").click()
        expect_digit(page, 7)
    expect_digit(page, 7)
    page.get_by_role("tab", name="Image").click()
    expect_digit(page, 9)


def test_late_answer_for_a_drawing_is_not_shown_beside_the_image(open_page: OpenPage) -> None:
    page = open_page()
    with held_back(page, "**/run/predict*"):
        draw(page, SEVEN)
        upload(page, SPACE / "examples" / "nine.png")
        expect_digit(page, 9)
    expect_digit(page, 9)
    page.get_by_role("tab", name="Draw").click()
    expect_digit(page, 7)


def test_picture_from_the_clipboard_is_answered(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    paste_by_button(page, "three")
    expect_digit(page, 3)


def paste_by_button(page: Page, name: str) -> None:
    """Copy an example, and paste it with the button in the image tab."""
    page.evaluate(CLIP, address_of(name))
    page.get_by_role("tab", name="Image").click()
    page.get_by_role("button", name="Paste from clipboard").click()


def test_no_digit_is_calmly_not_sure(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Example: star").click()
    expect(page.locator(".answer.unsure .sentence")).to_contain_text("Not sure")
    expect(page.locator(".toast-wrap")).to_be_empty()
    screenshot(page, "unsure")


def test_unreadable_file_is_one_sentence_and_no_alarm(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_text("not an image")
    page = open_page()
    upload(page, tmp_path / "digit.png")
    expect(page.locator(".answer.problem .sentence")).to_contain_text("Pass a PNG")
    expect(page.locator("#image-input img")).to_be_hidden()  # a broken picture tells nothing
    expect(page.locator(".toast-wrap")).to_be_empty()
    screenshot(page, "unreadable")


def test_a_file_that_is_too_large_is_said_to_be(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(MAX_BYTES + 1))
    page = open_page()
    upload(page, tmp_path / "large.png")
    expect(page.locator(".toast-wrap")).to_contain_text("exceed the maximum allowed size")
    screenshot(page, "too-large")


def test_a_picture_pasted_anywhere_is_answered(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    for name, digit in (("three", 3), ("nine", 9)):
        page.evaluate(CLIP, address_of(name))
        page.keyboard.press("Control+V")
        expect_digit(page, digit)


def test_a_picture_dropped_anywhere_is_answered_and_leaves_the_drawing(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    taken = page.locator("#drawing-pad canvas").evaluate(DROP, address_of("two"))
    assert taken, "else the browser opens it in the page's place"
    expect_digit(page, 2)
    page.get_by_role("tab", name="Draw").click()
    expect_digit(page, 7)


@pytest.mark.parametrize("place", [".upload-container", ".source-selection"])
def test_a_picture_dropped_in_the_image_tab_is_answered(open_page: OpenPage, place: str) -> None:
    page = open_page()
    page.get_by_role("tab", name="Image").click()
    assert page.locator(f"#image-input {place}").first.evaluate(DROP, address_of("two"))
    expect_digit(page, 2)


def test_an_answer_that_does_not_come_is_calmly_said(browser: Browser, url: str) -> None:
    with browser.new_context(**DESKTOP) as visitor:  # whose console may tell of it
        page = visitor.new_page()
        page.goto(url)
        await_pad(page)
        draw(page, SEVEN)
        expect_digit(page, 7)
        page.route("**/run/predict*", lambda route: route.fulfill(status=502, body="<html>"))
        draw(page, ONE)
        expect(page.locator(".answer.problem .sentence")).to_contain_text("No answer came")
        page.unroute("**/run/predict*")
        page.get_by_role("button", name="Undo").click()
        expect_digit(page, 7)


def test_a_picture_is_taken_after_the_button_that_pastes(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    paste_by_button(page, "three")
    expect_digit(page, 3)
    page.evaluate(CLIP, address_of("nine"))
    page.keyboard.press("Control+V")
    expect_digit(page, 9)
    paste_by_button(page, "three")
    expect_digit(page, 3)
    page.locator("#introduction").evaluate(DROP, address_of("two"))
    expect_digit(page, 2)


def test_a_dropped_file_that_is_no_image_is_said_to_be_none(open_page: OpenPage) -> None:
    page = open_page()
    assert page.locator("#introduction").evaluate(DROP, "data:application/pdf,%25PDF")
    expect(page.locator(".toast-wrap")).to_contain_text("Only image/* allowed")


def test_the_smallest_phone_has_tabs_and_tools_side_by_side(open_page: OpenPage) -> None:
    page = open_page(**PHONE | {"viewport": {"width": 320, "height": 640}})
    tab, tools = page.get_by_role("tab", name="Image"), page.locator("#drawing-pad .tools")
    boxes = tab.bounding_box(), tools.bounding_box()
    assert boxes[0] and boxes[1]
    assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
    screenshot(page, "smallest")


def test_example_opens_in_the_image_tab(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    page.get_by_role("button", name="Example: five").click()
    expect_digit(page, 5)
    expect(page.locator("#image-input img")).to_be_visible()
    screenshot(page, "example")
    page.get_by_role("button", name="Example: two").click()
    expect_digit(page, 2)
    page.get_by_role("tab", name="Draw").click()
    expect_digit(page, 7)


def ask_for_camera(page: Page) -> None:
    page.get_by_role("tab", name="Image").click()
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()


def await_picture(page: Page) -> None:
    """Wait for the camera's first picture: before it Gradio takes no photo, and says nothing."""
    page.wait_for_function("document.querySelector('#image-input video')?.videoWidth > 0")


def test_photo_is_answered(open_page: OpenPage) -> None:
    page = open_page(permissions=["camera"])
    ask_for_camera(page)
    await_picture(page)
    page.get_by_role("button", name="capture photo").click()
    expect(page.locator(".answer:not(.blank) .seen img")).to_be_visible()


def test_the_camera_ends_with_its_tab(open_page: OpenPage) -> None:
    page = open_page(permissions=["camera"])
    ask_for_camera(page)
    await_picture(page)
    page.evaluate("window.camera = document.querySelector('#image-input video').srcObject")
    assert page.evaluate("camera.active")
    page.get_by_role("tab", name="Draw").click()
    page.wait_for_function("!camera.active")
    draw(page, SEVEN)
    expect_digit(page, 7)


def test_a_page_without_https_says_why_there_is_no_camera(open_page: OpenPage) -> None:
    page = open_page()
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.reload()
    await_pad(page)
    ask_for_camera(page)
    expect(page.get_by_text("A camera needs a page opened by https")).to_be_visible()


def test_a_camera_that_is_not_allowed_is_not_passed_over(open_page: OpenPage) -> None:
    page = open_page()
    ask_for_camera(page)
    expect(page.get_by_text("The camera is not allowed here")).to_be_visible()
    screenshot(page, "camera")


def test_two_visitors_keep_their_own_drawings(open_page: OpenPage) -> None:
    one, seven = open_page(), open_page()
    draw(one, ONE)
    draw(seven, SEVEN)
    expect_digit(one, 1)
    expect_digit(seven, 7)
    one.get_by_role("button", name="Clear").click()
    expect_nothing_drawn(one)
    expect_digit(seven, 7)
