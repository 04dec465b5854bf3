"""The drawing pad, as a mouse, a finger, a pen and a keyboard use it."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from space.reader import normalize
from tests.browser.conftest import OpenPage
from tests.browser.hand import (
    ONE,
    PHONE,
    WRITTEN,
    canvas,
    expect_digit,
    expect_nothing_drawn,
    pixels,
    press_pen,
    screenshot,
    strokes_of,
    touch,
)
from training.bench.page import QUIET_MS, SEVEN, await_pad, draw, place

BAR = [(0.35, 0.5), (0.65, 0.5)]
DAMAGED = [  # what may lie where a drawing was kept
    "{",
    '{"steps": 7, "at": 0}',
    '{"steps": [[[500, 500, 80]]], "at": 2}',
    '{"steps": [[[500, 500, 80]]], "at": "length"}',
    '{"steps": [[]], "at": 1}',
    '{"steps": [[[500, 500]]], "at": 1}',
    '{"steps": [[["500", 500, 80]]], "at": 1}',
    '{"steps": [[[500, 1e9, 80]]], "at": 1}',
    '{"steps": [[[500, 500, 8000]]], "at": 1}',
]


def write(page: Page, digit: int) -> None:
    for stroke in strokes_of(digit):
        draw(page, stroke, steps=2)


def expect_strokes(page: Page, count: int) -> None:
    expect(page.locator(".pad")).to_have_attribute("data-strokes", str(count))


def ink_share(page: Page) -> float:
    return float((np.asarray(canvas(page))[..., 3] > 127).mean())


def test_each_of_ten_digits_is_read(open_page: OpenPage) -> None:
    page = open_page()
    for digit in WRITTEN:
        write(page, digit)
        expect_digit(page, digit)
        page.get_by_role("button", name="Clear").click()
        expect_nothing_drawn(page)


def test_answer_comes_while_the_pen_is_down(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN, lift=False)
    expect_digit(page, 7)


def test_moving_pen_sends_at_most_every_150_ms(open_page: OpenPage) -> None:
    page = open_page()
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(request.url) if "predict" in request.url else None
    )
    draw(page, ONE, lift=False)
    page.wait_for_timeout(300)
    sent.clear()
    started = page.evaluate("performance.now()")
    for turn in range(10):
        for y in (0.3, 0.7):
            page.mouse.move(*place(page, (0.4 + turn / 50, y)), steps=3)
    passed = page.evaluate("performance.now()") - started
    assert 1 <= len(sent) <= passed / 150 + 1


def test_stroke_that_leaves_the_pad_goes_on(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, [(0.5, 0.2), (0.5, 0.9), (0.5, 1.3)])
    expect_strokes(page, 1)
    page.mouse.move(*place(page, (0.2, 0.2)))
    expect_digit(page, 1)


def test_what_is_read_is_what_is_seen(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    page.get_by_label("Pen width").fill("110")
    draw(page, BAR)
    page.wait_for_timeout(500)
    seen = page.locator(".pixels img").get_attribute("src")
    assert seen
    difference = normalize(canvas(page)).pixels.astype(int) - np.asarray(pixels(seen))
    assert np.abs(difference).mean() < 3


def test_corner_is_smoothed(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, [(0.2, 0.8), (0.5, 0.2), (0.8, 0.8)], steps=1)
    ink = np.asarray(canvas(page))[..., 3] > 127
    topmost = np.flatnonzero(ink.any(1))[0] / len(ink)
    assert topmost > 0.3  # a polyline would reach 0.16


def test_undo_redo_and_clear(open_page: OpenPage) -> None:
    page = open_page()
    undo, redo, clear = [page.get_by_role("button", name=n) for n in ("Undo", "Redo", "Clear")]
    plus = page.locator(".answer:not(.blank) .digit").filter(has_not_text="1")
    draw(page, ONE)
    expect_digit(page, 1)
    draw(page, BAR)
    expect(plus).to_be_visible()
    undo.click()
    expect_digit(page, 1)
    expect_strokes(page, 1)
    redo.click()
    expect(plus).to_be_visible()
    expect_strokes(page, 2)
    clear.press("Enter")
    expect_nothing_drawn(page)
    undo.click()  # also what was cleared comes back
    expect(plus).to_be_visible()
    expect_strokes(page, 2)
    undo.click()
    draw(page, BAR)
    expect(redo).to_be_disabled()  # a new stroke is another future
    clear.click()
    draw(page, SEVEN)
    expect_digit(page, 7)
    page.keyboard.press("Control+z")
    expect_nothing_drawn(page)
    page.keyboard.press("Control+Shift+z")
    expect_digit(page, 7)


def reload(page: Page) -> None:
    page.wait_for_timeout(QUIET_MS)  # an answer on its way would be cut off, and complained of
    page.reload()
    await_pad(page)


def test_reload_keeps_the_drawing_and_its_history(open_page: OpenPage) -> None:
    page = open_page()
    undo, redo, clear = [page.get_by_role("button", name=n) for n in ("Undo", "Redo", "Clear")]
    draw(page, SEVEN)
    clear.click()
    draw(page, ONE)
    draw(page, BAR)
    undo.click()
    expect_digit(page, 1)
    drawn = canvas(page)
    reload(page)
    expect_digit(page, 1)
    assert canvas(page) == drawn
    redo.click()
    expect_strokes(page, 2)
    for _ in range(3):
        undo.click()
    expect_digit(page, 7)
    reload(page)
    expect_digit(page, 7)
    new = page.context.new_page()  # a browser's new tab
    new.goto(page.url)
    await_pad(new)
    expect_nothing_drawn(new)
    expect_strokes(new, 0)


def test_reload_keeps_a_long_history(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          const steps = [...Array(1500).fill(null), [[500, 200, 80], [500, 800, 80]]];
          sessionStorage.setItem('drawing-pad', JSON.stringify({ steps, at: steps.length }));
        }"""
    )
    reload(page)
    expect_strokes(page, 1)
    expect_digit(page, 1)


def test_a_stroke_that_another_tab_interrupts_is_read(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, ONE, lift=False)
    elsewhere = place(page, (0.6, 0.8))
    page.evaluate("document.querySelectorAll('#question [role=tab]')[1].click()")
    page.mouse.move(*elsewhere)
    page.mouse.up()
    page.get_by_role("tab", name="Draw").click()
    expect_digit(page, 1)
    expect_strokes(page, 1)
    reload(page)
    expect_digit(page, 1)


def test_damaged_storage_gives_an_empty_pad_that_works(open_page: OpenPage) -> None:
    page = open_page()
    for damaged in DAMAGED:
        page.evaluate("damaged => sessionStorage.setItem('drawing-pad', damaged)", damaged)
        reload(page)
        expect_strokes(page, 0)
        expect(page.get_by_role("button", name="Redo")).to_be_disabled()
    draw(page, SEVEN)
    expect_digit(page, 7)


def test_pad_works_where_nothing_may_be_stored(open_page: OpenPage) -> None:
    page = open_page()
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('refused') } })"
    )
    reload(page)
    draw(page, SEVEN)
    expect_digit(page, 7)
    reload(page)
    expect_nothing_drawn(page)


def test_pen_is_as_wide_as_chosen(open_page: OpenPage) -> None:
    page = open_page()
    shares = []
    for width in ("30", "130"):
        page.get_by_label("Pen width").fill(width)
        draw(page, ONE)
        expect_digit(page, 1)
        shares.append(ink_share(page))
        page.get_by_role("button", name="Clear").click()
    assert 4 < shares[1] / shares[0] < 5


def test_pressed_pen_draws_wider(open_page: OpenPage) -> None:
    page = open_page()
    shares = []
    for force in (0.1, 0.9):
        press_pen(page, ONE, force)
        shares.append(ink_share(page))
        page.get_by_role("button", name="Clear").click()
    assert 2 < shares[1] / shares[0] < 3


def test_keyboard_alone_draws_and_clears(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("application", name="Drawing pad").focus()
    for key in ["ArrowUp"] * 8 + [" "] + ["ArrowDown"] * 16:
        page.keyboard.press(key)
    screenshot(page, "keyboard")
    page.keyboard.press(" ")
    expect_digit(page, 1)
    names = ["Pen width", "Undo", "Clear"]  # redo is disabled
    for name in names:
        page.keyboard.press("Tab")
        labels = "document.activeElement.ariaLabel ?? document.activeElement.labels?.[0]?.innerText"
        assert (page.evaluate(labels) or page.evaluate("document.activeElement.innerText")) == name
    page.keyboard.press("Enter")
    expect_nothing_drawn(page)


def test_a_pointer_takes_over_from_the_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("application", name="Drawing pad").focus()
    for key in [" "] + ["ArrowDown"] * 4:
        page.keyboard.press(key)
    draw(page, BAR)
    expect_strokes(page, 2)
    page.get_by_role("button", name="Undo").click()
    expect_strokes(page, 1)  # what the keyboard drew is a stroke of its own


def test_the_keyboards_pen_is_shown_and_told_and_held_keys_are_one(open_page: OpenPage) -> None:
    page = open_page()
    pad, state = page.get_by_role("application", name="Drawing pad"), page.locator(".pen-state")
    expect(page.locator(".nib")).to_be_hidden()
    page.keyboard.press("Shift+Tab")
    pad.focus()
    expect(page.locator(".nib")).to_be_visible()
    expect(state).to_have_text("Pen up")
    for _ in range(4):
        page.keyboard.down(" ")  # held: from the second on these are repetitions
    page.keyboard.up(" ")
    expect(state).to_have_text("Pen down")
    expect_strokes(page, 1)
    page.keyboard.press(" ")
    expect(state).to_have_text("Pen up")
    expect_strokes(page, 1)


def test_a_touch_that_the_system_takes_back_leaves_nothing(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    page.wait_for_timeout(QUIET_MS)
    touch(page, ONE, ends="touchCancel")
    expect_strokes(page, 0)
    expect_nothing_drawn(page)
    touch(page, SEVEN)
    expect_digit(page, 7)


def test_a_pen_draws_though_the_hand_lies_on_the_pad(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    page.wait_for_timeout(QUIET_MS)
    touch(page, BAR, ends="")
    press_pen(page, ONE, 0.5)
    expect_digit(page, 1)
    expect_strokes(page, 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_finger_draws_on_a_phone_without_scrolling(open_page: OpenPage, scheme: str) -> None:
    page = open_page(**PHONE, color_scheme=scheme)
    page.wait_for_timeout(QUIET_MS)  # in its first moments Chromium scrolls, whatever the page says
    touch(page, SEVEN)
    expect_digit(page, 7)
    assert page.evaluate("[scrollX, scrollY]") == [0, 0]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.querySelector('canvas').width") > 1000  # crisp: 3 for each
    expect(page.locator(".bars li").last).to_be_in_viewport()
    screenshot(page, f"phone-{scheme}")
