"""How the page looks: Gradio's theme in the project's colours, and the style sheets."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

SPACE = Path(__file__).parent
STYLES = [
    SPACE / "page.css",
    SPACE / "drawing_pad" / "drawing_pad.css",
    SPACE / "answer_view" / "answer_view.css",
    SPACE / "inside_view" / "inside_view.css",
    SPACE / "about_view" / "about_view.css",
]

FONT = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700))  # Gradio brings the files
FONTS = (FONT, "system-ui", "sans-serif")
CODE = (gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace")

THEME = gr.themes.Base(font=FONTS, font_mono=CODE, neutral_hue="slate").set(
    body_background_fill="#f6f7f9",
    body_background_fill_dark="#121419",
    body_text_color="#15181e",
    body_text_color_dark="#eceef2",
    body_text_color_subdued="#596070",
    body_text_color_subdued_dark="#9ba2b0",
    border_color_primary="#d9dde5",
    border_color_primary_dark="#323743",
    color_accent="var(--accent)",  # page.css has one for the light and one for the dark
)
