"""What the page says about the release that it serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.constants import ENDPOINT

from space.reader import FIGURES, SERVED
from training.deploy import SPACE


@pytest.fixture(scope="module")
def about_view() -> Iterator[Any]:
    """Imported as on the Space, where the reader is a package of its own."""
    sys.path.insert(0, str(SPACE))
    import about_view

    yield about_view
    sys.path.remove(str(SPACE))


def release(about_view: Any, folder: Path, *name: str) -> Any:
    return about_view.Release(folder, *name)


def test_published_release_is_linked_at_its_commit(about_view: Any, model_dir: Path) -> None:
    commit = "0123456789" * 4
    html, _ = about_view.render_about(release(about_view, model_dir, "me/digits", commit, "v1"))
    assert f'href="{ENDPOINT}/me/digits/tree/{commit}"' in html
    assert "version v1" in html and "<code>0123456</code>" in html


def test_local_model_says_that_it_was_never_published(about_view: Any, model_dir: Path) -> None:
    html, _ = about_view.render_about(release(about_view, model_dir))
    assert "never published" in html and "href" not in html


def test_card_comes_without_front_matter_and_with_its_pictures(
    about_view: Any, model_dir: Path
) -> None:
    _, card = about_view.render_about(release(about_view, model_dir))
    assert not card.startswith("---") and "library_name" not in card
    assert "\n# " not in card and "(figures/" not in card
    assert card.count("](data:image/png;base64,") == len(FIGURES)


def test_everything_that_the_card_shows_is_served(about_view: Any, model_dir: Path) -> None:
    card = (model_dir / "README.md").read_text("utf-8")
    assert {file for _, file in about_view.PICTURE.findall(card)} <= set(SERVED)
    assert all((model_dir / file).is_file() for file in SERVED)


def test_release_without_card_or_numbers_says_what_to_do(about_view: Any, tmp_path: Path) -> None:
    html, card = about_view.render_about(release(about_view, tmp_path))
    assert "never published" in html
    assert "python -m training prepare" in card


def test_missing_picture_leaves_its_description(about_view: Any, tmp_path: Path) -> None:
    text = about_view.to_markdown("# T\n![A curve](figures/a.png)\n![x](../etc/b.png)", tmp_path)
    assert text == "*A curve*\n![x](../etc/b.png)"
