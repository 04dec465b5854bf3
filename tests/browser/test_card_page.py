"""The model card as a page: rendered, and looked at by a real Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from tests.browser.hand import PHONE, SCREENSHOTS
from training.bench.page import DESKTOP

STYLE = """
:root { color-scheme: light dark; --ink: #22252b; --paper: #fff; --line: #d5d8dd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --paper: #14171c; --line: #3a3f48; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.55 sans-serif;
  max-width: 820px; margin: 0 auto; padding: 24px 16px; }
img { max-width: 100%; border-radius: 6px; }
table { border-collapse: collapse; max-width: 100%; font-size: 14px; }
td, th { border-bottom: 1px solid var(--line); padding: 4px 8px; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: 12px; border: 1px solid var(--line); border-radius: 6px; }
@media (max-width: 600px) { table { font-size: 11px; } td, th { padding: 3px 4px; } }
"""
WIDER = """() => [...document.querySelectorAll("table, img, p, h2")]
  .filter(part => part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(part => part.textContent.slice(0, 60) || part.src)"""
BARE = """() => [...document.querySelectorAll("img")]
  .filter(image => !image.alt || !image.naturalWidth
    || !image.closest("p").nextElementSibling?.querySelector(":scope > em:only-child"))
  .map(image => image.src)"""


@pytest.fixture(scope="module")
def card_page(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    shutil.copytree(model_dir / "figures", folder / "figures")
    text = ModelCard.load(model_dir / "README.md").text
    html = MarkdownIt("commonmark").enable("table").render(text)
    page = folder / "card.html"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page.write_text(f"<!doctype html>{head}<style>{STYLE}</style>{html}", "utf-8")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_the_card_reads_well(
    card_page: Path,
    browser: Browser,
    device: str,
    scheme: Any,
) -> None:
    options: dict[str, Any] = (PHONE | {"device_scale_factor": 1}) if device == "phone" else DESKTOP
    context = browser.new_context(**options, color_scheme=scheme)
    page = context.new_page()
    page.goto(card_page.as_uri())
    page.wait_for_load_state("load")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"card-{device}-{scheme}.png", full_page=True)
    assert page.evaluate(WIDER) == [], "wider than the page"
    assert page.evaluate(BARE) == [], "without a caption, a description or a file"
    assert page.locator("img").count() == len(list((card_page.parent / "figures").iterdir()))
    context.close()
