from typing import Any

import pytest

from space.answer_view import render_answer


def answer(digit: int | None, **shares: float) -> dict[str, Any]:
    probabilities = [shares.get(f"p{place}", 0.0) for place in range(10)]
    reason = "unsure" if digit is None else None
    return {
        "digit": digit,
        "confidence": max(probabilities),
        "probabilities": probabilities,
        "reason": reason,
        "seen": None,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(8, p8=0.99), "sure that this is an 8\n"),
        (answer(7, p7=0.99), "sure that this is a 7\n"),
        (answer(None, p8=0.5, p0=0.4), "It could be an 8 or a 0. Try"),
        (answer(None, p8=0.89, p0=0.03), "It could be an 8. Try"),
    ],
)
def test_digits_are_spoken_of_as_they_are_in_english(given: dict[str, Any], said: str) -> None:
    assert said in render_answer(given)


def test_a_second_digit_is_named_and_marked_only_where_it_is_close() -> None:
    for share, marked in ((0.4, 2), (0.03, 1)):
        rendered = render_answer(answer(None, p8=0.55, p3=share))
        assert rendered.count('class="likely"') == marked
