"""What the page tells beyond the answer: inside the network, and about it; to everyone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from space.reader import FIGURES
from tests.browser.conftest import OpenPage
from tests.browser.hand import PHONE, expect_digit, pixels, screenshot
from training.bench.page import SEVEN, draw


def open_part(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def serious_findings(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{finding['id']}: {node['html'][:200]}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding(open_page: OpenPage, scheme: Any) -> None:
    page = open_page(color_scheme=scheme)
    assert serious_findings(page) == []
    draw(page, SEVEN)
    open_part(page, "Look inside")
    open_part(page, "About this model")
    expect(page.locator(".inside .layers li")).to_have_count(5)
    page.locator("#card table").first.wait_for()
    assert serious_findings(page) == []
    page.get_by_role("tab", name="Image").click()
    assert serious_findings(page) == []


def test_inside_follows_the_drawing_while_it_is_open(open_page: OpenPage) -> None:
    page = open_page()
    draw(page, SEVEN)
    expect_digit(page, 7)
    assert page.locator(".inside").count() == 0  # nothing is computed before
    open_part(page, "Look inside")
    expect(page.locator(".inside .support")).to_contain_text("Where the 7 comes from")
    shapes = ["8 maps of 26 × 26", "16 maps of 12 × 12", "48 maps of 10 × 10"]
    shapes += ["64 maps of 4 × 4", "176 maps of 2 × 2"]
    expect(page.locator(".inside .shape")).to_have_text(shapes)
    support = page.locator(".inside .support img").get_attribute("src")
    assert support and pixels(support).size == (28, 28)
    screenshot(page, "inside", whole=True)
    page.get_by_role("button", name="Example: five").click()
    expect(page.locator(".inside .support")).to_contain_text("Where the 5 comes from")
    open_part(page, "Look inside")  # closes it
    page.get_by_role("button", name="Example: two").click()
    expect_digit(page, 2)
    page.wait_for_timeout(300)
    expect(page.locator(".inside .support")).to_contain_text("Where the 5 comes from")


def test_nothing_drawn_is_calm_inside_too(open_page: OpenPage) -> None:
    page = open_page()
    open_part(page, "Look inside")
    expect(page.locator(".asking")).to_be_visible()
    draw(page, SEVEN)
    expect(page.locator(".inside .layers li")).to_have_count(5)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".inside")).to_have_count(0)


def test_about_tells_of_the_served_release(open_page: OpenPage, model_dir: Path) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    page = open_page()
    open_part(page, "About this model")
    about = page.locator(".about")
    expect(about).to_contain_text("never published")
    numbers = [metrics["redrawn"]["accuracy"], metrics["test"]["accuracy"]]
    for number in numbers:
        expect(about).to_contain_text(f"{100 * number:.2f}")
    expect(page.locator("#card")).to_contain_text("When it does not answer")
    pictures = page.locator("#card img")
    expect(pictures).to_have_count(len(FIGURES))
    assert pictures.last.evaluate("async (img) => { await img.decode(); return img.width }") > 100
    screenshot(page, "about", whole=True)


def test_parts_fit_a_phone(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    draw(page, SEVEN)
    open_part(page, "Look inside")
    open_part(page, "About this model")
    expect(page.locator(".inside .layers li")).to_have_count(5)
    page.locator("#card table").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    screenshot(page, "phone-parts", whole=True)
