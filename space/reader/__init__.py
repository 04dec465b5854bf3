"""The reader: any image → a digit. Both the Space and training read with it."""

from .classifier import (
    FIGURES,
    SERVED,
    Answer,
    Classifier,
    Release,
    ReleaseError,
    find_release,
    guess_digit,
    read_digit,
    read_pin,
)
from .explanation import Explainer, Explanation
from .preprocessing import (
    FORMATS,
    EmptyDrawingError,
    Normalized,
    UnreadableImageError,
    normalize,
    open_image,
)

__all__ = [
    "FIGURES",
    "FORMATS",
    "SERVED",
    "Answer",
    "Classifier",
    "EmptyDrawingError",
    "Explainer",
    "Explanation",
    "Normalized",
    "Release",
    "ReleaseError",
    "UnreadableImageError",
    "find_release",
    "guess_digit",
    "normalize",
    "open_image",
    "read_digit",
    "read_pin",
]
