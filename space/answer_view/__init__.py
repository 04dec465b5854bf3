"""The answer as the visitor sees it: one answer of the API → HTML.

Renders every state in the same boxes, so that nothing jumps and bars glide from one answer to
the next: Gradio changes only the elements that differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
CLOSE = 0.1  # the probability with which a second digit is named, where the first is unsure
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def answer_view(rendered: str) -> gr.HTML:
    """Make the component, showing a rendered answer to begin with."""
    return gr.HTML(rendered, apply_default_css=False, elem_id="answer")


def render_answer(answer: dict[str, Any]) -> str:
    """Render an answer in the form of the API (see `api.to_json`)."""
    probabilities = answer["probabilities"]
    first, second = sorted(range(len(probabilities)), key=lambda digit: -probabilities[digit])[:2]
    close = answer["digit"] is None and probabilities[second] >= CLOSE
    return TEMPLATES.get_template("answer_view.html").render(
        answer, state=answer["reason"] or "read", guesses=[first, second] if close else [first]
    )


def render_problem(message: str) -> str:
    """Render that an image cannot be read, as a state of the view and not as an alarm."""
    return TEMPLATES.get_template("answer_view.html").render(
        state="problem", probabilities=[0] * 10, seen=None, problem=message
    )


def percent(share: float) -> str:
    """Write a probability in words short enough for a bar, never claiming 0 or 100 percent."""
    if share >= 0.9995:
        return "> 99.9 %"
    return "< 0.1 %" if share < 0.0005 else f"{share:.1%}".replace("%", " %")


def with_article(digit: int) -> str:
    """Write a digit as it is spoken of."""
    return f"{'an' if digit == 8 else 'a'} {digit}"


TEMPLATES.filters |= {"percent": percent, "with_article": with_article}
