"""The page in a real Chromium: its picture (`make picture`) and its latency (`make bench`).

Also what the browser tests begin with: a browser, and a hand that draws.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from training.stage import StageError

PICTURE = Path(__file__).parents[2] / ".github" / "page.png"
NO_BROWSER = "No Chromium found. Get one: apt install chromium, or playwright install chromium"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
SEVEN = [(0.3, 0.25), (0.5, 0.23), (0.7, 0.24), (0.62, 0.4), (0.53, 0.58), (0.47, 0.8)]
GLIDE_MS = 300  # bars glide for 180
STROKES, QUIET_MS = 30, 400
MOST_MS = 120  # on 2 cores, from the end of a stroke to the bars
WATCH = """() => {
  const end = () => { window.lifted = performance.now(); window.updated = null; };
  document.querySelector("#drawing-pad canvas").addEventListener("pointerup", end, true);
  new MutationObserver(() => { window.updated = performance.now(); }).observe(
    document.querySelector("#answer"), { subtree: true, childList: true, attributes: true });
}"""

Point = tuple[float, float]


class NoBrowserError(StageError):
    """There is no Chromium on this machine; the message says how to get one."""


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start Playwright's Chromium, or the system's, until the block ends.

    Raises:
        NoBrowserError: If there is none.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(playwright), args=OPTIONS
        )
        yield browser
        browser.close()


def find_chromium(playwright: Playwright) -> str:
    """Return the path of Playwright's own Chromium or of the system's."""
    own = playwright.chromium.executable_path
    names = ("chromium", "chromium-browser", "google-chrome")
    path = own if Path(own).exists() else next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise NoBrowserError(NO_BROWSER)
    return path


def open_page(browser: Browser, url: str, **options: Any) -> Page:
    """Open the page in a window of its own, and wait until it can be drawn on."""
    page = browser.new_context(**(DESKTOP | options)).new_page()
    page.goto(url)
    await_pad(page)
    return page


def await_pad(page: Page) -> None:
    """Wait until Gradio's veil is off the pad."""
    page.locator("#drawing-pad canvas").hover()


def place(page: Page, point: Point) -> Point:
    """Return where a point of the pad, 0 to 1, is in the window."""
    box = page.locator("#drawing-pad canvas").bounding_box()
    assert box
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def draw(page: Page, points: Sequence[Point], lift: bool = True, steps: int = 4) -> None:
    """Draw one stroke with the mouse, with `steps` movements from each point to the next."""
    start, *others = [place(page, point) for point in points]
    page.mouse.move(*start)
    page.mouse.down()
    for other in others:
        page.mouse.move(*other, steps=steps)
    if lift:
        page.mouse.up()


def take_picture(url: str, file: Path) -> None:
    """Write README's picture of the page: a digit that has been drawn, and the answer."""
    with running_chromium() as browser:
        page = open_page(browser, url, device_scale_factor=1.5)
        draw(page, SEVEN, steps=8)
        page.locator(".answer.read .digit").wait_for()
        page.mouse.move(0, 0)
        page.wait_for_timeout(GLIDE_MS)
        page.screenshot(path=file)


def measure_latency(url: str) -> dict[str, Any]:
    """Time the page from the end of a stroke to its updated bars, on the browser's own clock.

    Returns:
        `median_ms`, and `each` of the strokes.
    """
    with running_chromium() as browser:
        page = open_page(browser, url)
        page.evaluate(WATCH)
        each = [time_stroke(page, number / STROKES) for number in range(STROKES)]
    return {"median_ms": statistics.median(each), "each": each}


def bench_page(build: Path) -> dict[str, Any]:
    """Measure the page that serves `build/model` and print it; empty where there is no browser."""
    from training.bench.serving import running_space

    with running_space(build) as (url, _):
        try:
            latency = measure_latency(url)
        except NoBrowserError as error:
            print(f"\nThe page was not measured. {error}")
            return {}
    count, median = len(latency["each"]), latency["median_ms"]
    print(f"\nThe page, from the end of a stroke to the updated bars, median of {count}")
    print(f"  {'in Chromium':<30} {median:>8.1f} ms   (bound: {MOST_MS} ms)")
    return latency


def time_stroke(page: Page, part: float) -> float:
    """Draw a seven, each with another slant; return the milliseconds to its answer."""
    *stroke, end = [(x + 0.2 * (part - 0.5) * (1 - y), y) for x, y in SEVEN]
    draw(page, stroke, lift=False, steps=2)
    page.wait_for_timeout(QUIET_MS)  # what is answered before the end is not answered anew after it
    page.mouse.move(*place(page, end))
    page.mouse.up()
    page.wait_for_function("window.updated !== null")
    page.wait_for_timeout(QUIET_MS)  # the answer to the last points comes last
    milliseconds = float(page.evaluate("window.updated - window.lifted"))
    page.get_by_role("button", name="Clear").click()
    page.locator(".answer.blank").wait_for()
    return milliseconds


def main() -> None:
    """Take the picture of the release in `build/model`."""
    from training.bench.serving import running_space

    with running_space(Path("build")) as (url, _):
        take_picture(url, PICTURE)
    print(f"Written: {PICTURE}")


if __name__ == "__main__":
    main()
