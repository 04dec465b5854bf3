"""Any image of one digit → 28 × 28 pixels as MNIST made them.

First step of the reader; the model sees nothing that did not pass here. This file is shipped
with every model, so it stands alone: NumPy and Pillow, nothing of this project.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 28
DIGIT_BOX = 20
CENTRE = 14.5  # of mass, in pixels from the edge: MNIST's digits have it at 14 to 15
MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Pillow's own weights for mode L
MIN_CONTRAST = 24  # of 255, between paper and ink; less is paper grain
INK_LEVEL = 0.25  # of the full contrast; below it a pixel is an edge's blur, not part of the box
MIN_INK_SHARE = 0.0002  # of the image; a pen's single dot on a drawing pad is about 0.003


class UnreadableImageError(ValueError):
    """The input is not an image that can be read; the message says what to pass instead."""


class EmptyDrawingError(ValueError):
    """The image holds no ink; the message says what to do."""


@dataclass(frozen=True)
class Normalized:
    """A digit as the model sees it, and what was done to get there.

    Attributes:
        pixels: (28, 28) uint8, white ink on black.
        inverted: Whether the ink was darker than its paper.
        box: The ink's left, top, right and bottom edge in pixels of the upright input.
        scale: Pixels of the result per pixel of the input.
        shift: How far right and down the ink moved in its frame, in pixels of the input.
        stroke_width: Estimated width of the pen, in pixels of the result.
        ink_share: Share of the input covered by ink, 0 to 1.
    """

    pixels: NDArray[np.uint8]
    inverted: bool
    box: tuple[int, int, int, int]
    scale: float
    shift: tuple[float, float]
    stroke_width: float
    ink_share: float

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done, in words for a visitor, in the order it was done."""
        left, top, right, bottom = self.box
        width, height = round((right - left) * self.scale), round((bottom - top) * self.scale)
        return (
            "dark on light: inverted" if self.inverted else "light on dark: kept",
            f"cut out {right - left} × {bottom - top} px and scaled to {width} × {height} px",
            f"moved {round(float(np.hypot(*self.shift)))} px to the middle",
        )


def open_image(source: Image.Image | bytes | str | Path) -> Image.Image:
    """Open an image file and load its first frame.

    Args:
        source: A Pillow image, a path, or a file's bytes in one of `FORMATS`.

    Returns:
        A loaded Pillow image, of at most `MAX_PIXELS` pixels.

    Raises:
        UnreadableImageError: If it is no such image, is damaged, or is too large.
    """
    if isinstance(source, Image.Image):
        return source
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    wanted = f"Pass a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(
                    f"The image has {image.width} × {image.height} pixels. "
                    f"Pass one of at most {MAX_PIXELS // 1_000_000} million pixels."
                )
            image.load()
            return image.copy()
    except UnreadableImageError:
        raise
    except FileNotFoundError:
        raise UnreadableImageError(f"There is no file {source!s}. {wanted}.") from None
    except Exception:  # Pillow's decoders raise many kinds on damaged files
        raise UnreadableImageError(f"This file cannot be read as an image. {wanted}.") from None


def normalize(image: Image.Image | bytes | str | Path) -> Normalized:
    """Bring an image of one digit to MNIST's normalisation.

    The digit's box keeps its aspect and is scaled into 20 × 20 with area averaging; its centre
    of mass goes to the centre of 28 × 28.

    Args:
        image: A Pillow image of any mode and size, a path, or a file's bytes.

    Returns:
        The 28 × 28 pixels and what was done.

    Raises:
        EmptyDrawingError: If there is no ink on the image.
        UnreadableImageError: If it cannot be read as an image.

    Source: https://yann.lecun.org/exdb/mnist and LeCun et al. 1998, section III.A.
    """
    ink, inverted = find_ink(to_grey(open_image(image)))
    solid = ink >= INK_LEVEL
    share = float(solid.mean())
    if share < MIN_INK_SHARE:
        raise EmptyDrawingError("There is nothing to read on this image. Draw a digit, larger.")
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    digit = ink[top:bottom, left:right]
    scale = DIGIT_BOX / max(digit.shape)
    small = scale_down(digit, scale)
    pixels, offset = centre(small)
    shift = (
        (offset[1] + 0.5 * small.shape[1] - SIDE / 2) / scale + (ink.shape[1] - left - right) / 2,
        (offset[0] + 0.5 * small.shape[0] - SIDE / 2) / scale + (ink.shape[0] - top - bottom) / 2,
    )
    return Normalized(
        pixels=np.rint(255 * pixels).astype(np.uint8),
        inverted=inverted,
        box=(int(left), int(top), int(right), int(bottom)),
        scale=scale,
        shift=(float(shift[0]), float(shift[1])),
        stroke_width=estimate_stroke_width(pixels),
        ink_share=share,
    )


def to_grey(image: Image.Image) -> NDArray[np.float32]:
    """Turn an image of any mode upright and into (height, width) float32 brightness, 0 to 1.

    Transparent paper becomes what the ink on it is not: white under dark ink, black under light.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return deep_grey(np.asarray(image, np.float32))
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"), np.float32) / 255
        grey, alpha = pixels[..., :3] @ LUMA, pixels[..., 3]
        ink = float((grey * alpha).sum() / max(float(alpha.sum()), 1e-6))
        return (grey * alpha + (ink < 0.5) * (1 - alpha)).astype(np.float32)
    return np.asarray(image.convert("L"), np.float32) / np.float32(255)


def deep_grey(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale grey values of 16 or 32 bits to 0 to 1 by the depth they use."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    depth = next((bound for bound in (1.0, 255.0, 65_535.0) if top <= bound), top)
    grey: NDArray[np.float32] = np.clip(values / np.float32(depth), 0, 1)
    return grey


def find_ink(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Tell ink from paper, the paper being what the border mostly shows.

    Args:
        grey: (height, width) brightness, 0 to 1.

    Returns:
        (height, width) ink, 0 on paper to 1 where it is strongest, and whether ink was darker.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    darker, lighter = paper - float(grey.min()), float(grey.max()) - paper
    inverted = darker > lighter
    contrast = max(darker, lighter)
    if contrast < MIN_CONTRAST / 255:
        return np.zeros_like(grey), inverted
    difference = paper - grey if inverted else grey - paper
    return np.clip(difference / contrast, 0, 1), inverted


def scale_down(digit: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Resize so that the longer side is 20, by area averaging (bilinear when it grows)."""
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    if (height, width) == digit.shape:
        return digit
    method = Image.Resampling.BOX if scale <= 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(digit).resize((width, height), method))


def centre(digit: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Put the centre of mass into the middle of 28 × 28; also say where the corner went."""
    total = float(digit.sum())
    corner = []
    for axis, length in enumerate(digit.shape):
        middle = float((digit.sum(1 - axis) * (np.arange(length) + 0.5)).sum()) / total
        corner.append(int(np.clip(round(CENTRE - middle), 0, SIDE - length)))
    field = np.zeros((SIDE, SIDE), np.float32)
    field[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = digit
    return field, (corner[0], corner[1])


def estimate_stroke_width(pixels: NDArray[np.float32]) -> float:
    """Estimate the pen's width as twice the ink's area over its outline's length, in pixels."""
    padded = np.pad(pixels, 1)
    outline = float(np.hypot(*np.gradient(padded)).sum())
    return 2 * float(pixels.sum()) / max(outline, 1e-6)
