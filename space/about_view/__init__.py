"""The release being served, as the visitor reads of it: its card, its figures, its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gradio as gr
from gradio_client.utils import encode_file_to_base64
from huggingface_hub.constants import ENDPOINT
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reader import Release

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
TITLE = re.compile(r"^# .*\n", re.MULTILINE)  # this part of the page has one
PICTURE = re.compile(r"!\[(.*?)\]\((figures/[\w-]+\.png)\)")
NO_CARD = "This release has no card yet. Score it and render one: `python -m training prepare`"


def about_view() -> tuple[gr.HTML, gr.Markdown]:
    """Make the numbers and the card, both still empty."""
    return gr.HTML(apply_default_css=False), gr.Markdown(elem_id="card", latex_delimiters=[])


def render_about(release: Release) -> tuple[str, str]:
    """Render a release's name and numbers as HTML, and its card as Markdown."""
    metrics, card = release.folder / "metrics.json", release.folder / "README.md"
    numbers = json.loads(metrics.read_text("utf-8")) if metrics.is_file() else None
    headline = TEMPLATES.get_template("about_view.html").render(
        release=release, address=f"{ENDPOINT}/{release.id}/tree/{release.commit}", metrics=numbers
    )
    text = card.read_text("utf-8") if card.is_file() else NO_CARD
    return headline, to_markdown(text, release.folder)


def to_markdown(card: str, folder: Path) -> str:
    """Take a card's front matter and title off, and its pictures in."""
    text = TITLE.sub("", FRONT_MATTER.sub("", card), count=1)
    return PICTURE.sub(lambda found: picture(found[1], folder / found[2]), text)


def picture(description: str, file: Path) -> str:
    """Return a picture that needs no further file, or its description where there is none."""
    if not file.is_file():
        return f"*{description}*"
    return f"![{description}]({encode_file_to_base64(file)})"


def percent(share: float) -> str:
    """Write a share with two decimals, on one line."""
    return f"{share:.2%}".replace("%", "\N{NO-BREAK SPACE}%")


TEMPLATES.filters["percent"] = percent
