"""The reader: any image → a digit. Both the Space and training read with it."""

from .classifier import (
    Answer,
    Classifier,
    Release,
    ReleaseError,
    find_release,
    guess_digit,
    read_digit,
)
from .preprocessing import (
    EmptyDrawingError,
    Normalized,
    UnreadableImageError,
    normalize,
    open_image,
)

__all__ = [
    "Answer",
    "Classifier",
    "EmptyDrawingError",
    "Normalized",
    "Release",
    "ReleaseError",
    "UnreadableImageError",
    "find_release",
    "guess_digit",
    "normalize",
    "open_image",
    "read_digit",
]
