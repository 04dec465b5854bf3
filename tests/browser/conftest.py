"""A real Chromium for each module, and a console that may show nothing for each page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from training.bench.page import DESKTOP, NoBrowserError, await_pad, running_chromium

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with running_chromium() as browser:
            yield browser
    except NoBrowserError as error:
        if "CI" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


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
        await_pad(page)
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
