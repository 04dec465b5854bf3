"""Any image of one digit → 28 × 28 pixels as MNIST made them.

First step of the reader; the model sees nothing that did not pass here. This file is shipped
with every model, so it stands alone: NumPy, SciPy and Pillow, nothing of this project.

The steps: open → shrink → grey → ink (on flat paper, else on uneven paper, else the image as it
is) → cut out → pen → 20 × 20 → centre of mass in the middle of 28 × 28.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

SIDE = 28
DIGIT_BOX = 20
CENTRE = 14.5  # of mass, in pixels from the edge: MNIST's digits have it at 14 to 15
EMPTY = "There is nothing to read on this image. Draw a digit, larger."
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
# some decoders hold an image several times over: fewer pixels, to stay within 400 MB
FEWER_PIXELS = {"WEBP": 16_000_000, "TIFF": 30_000_000, "CMYK": 30_000_000}  # by format or mode
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of TIFF
MAX_SCANS = 100  # of a JPEG file; each is a pass over the whole image, in as little as 12 bytes
START_OF_SCAN = b"\xff\xda"
WORKING_SIDE = 800  # larger images are shrunk to it: a digit of 8 % still has 48 pixels

MIN_CONTRAST = 24 / 255  # between paper and ink; less is paper grain
MIN_INK_SHARE = 0.0002  # of the image; a pen's single dot on a drawing pad is about 0.003
INK_LEVEL = 0.25  # of the full contrast; below it a pixel is an edge's blur, not part of the box
FLAT = 3 / 255  # how far one level of a drawing may stray, by JPEG or a browser's smoothing
CLEAR = 0.5  # of a drawing is clear paper or full ink; the rest is edges, blurred ones too
CLEAR_SIDE = 0.8  # of each side; noise that black or white cuts off leaves half
CROSSED_SIDE = 0.45  # of a side may be ink; stripes and noise cover half
DARK_SIDES = 0.25  # of the border is dark, and stripes, fog or noise may have lit the rest
RULED = 0.97  # of a row or column is a ruled line's; the rest a pen may hide
THICKEST_LINE = 0.03  # of the shorter side
SHEET_SHARE = 0.6  # of a sheet's box is sheet, not ink
SHEET_SIDE = 0.9  # of each of its sides; corners may be round
SHEET_EDGE = 2  # pixels that are left out around it
SPECK_SHARE = 0.01  # of the largest part's ink; a smaller part of a drawing is a speck

SMALLEST = 2 * DIGIT_BOX  # pixels; on fewer, a stroke is as wide as what light does to paper
COARSE_SIDE = 100  # of the image on which light and paper are estimated
WIDEST_STROKE = 0.16  # of the picture's shorter side
SURROUNDINGS = 0.25  # of the picture's shorter side
DARKEST = 0.1  # brightness below which contrast is no longer relative, lest noise count
MOST_LEVELS = 3  # at which contrast is cut: above the grain, the lines, the pen's own edge
PART_SHARE = 0.03  # of the main part's ink, for another part of the same digit
CREDIBLE_SHARE = 0.5  # of what stands out must be the digit's; less is noise
CREDIBLE_CONTRAST = 4  # times the root mean square around it; measured: noise 2, photographs > 5
PART_GAP = 0.35  # of the main part's size, the farthest that another part may be

IN_PLACE_SIDES = (17, 21)  # pixels, the longer side of a digit in MNIST's form; most have 20
NEARLY = 3  # pixels from the middle that a wiped-out part may have moved its centre of mass

FINE_SIDE = 100  # of the cut-out on which the pen is measured and changed
THINNEST, THICKEST = 1.8, 3.0  # pen widths in pixels of the result that are left as they are
OUTLINE = 0.5  # of the ink; a pen is changed along where the ink is this strong
NOT_WORTH = 0.1  # a change of the pen's width by less
FAINT = 0.7  # mean of the ink below which a pen was finer than the pixels it was averaged into

Grey = NDArray[np.float32]
Box = tuple[int, int, int, int]


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
        thickened: How many times wider the pen was made; below 1 where it was made thinner.
        specks: How many parts were left out because they are too small or too far away.
        ruled: Whether ruled lines were left out.
        credible: Whether ink could be told from paper; if not, the whole image was taken.
    """

    pixels: NDArray[np.uint8]
    inverted: bool
    box: Box
    scale: float
    shift: tuple[float, float]
    stroke_width: float
    ink_share: float
    thickened: float = 1.0
    specks: int = 0
    ruled: bool = False
    credible: bool = True

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done, in words for a visitor, in the order it was done."""
        inverted = "dark on light: inverted" if self.inverted else "light on dark: kept"
        if not self.credible:
            return (inverted, "the paper could not be told from the ink: read as it is")
        left, top, right, bottom = self.box
        width, height = round((right - left) * self.scale), round((bottom - top) * self.scale)
        steps = [inverted]
        if self.ruled:
            steps.append("ruled lines left out")
        if self.specks:
            steps.append(f"{self.specks} speck{'s' * (self.specks > 1)} ignored")
        if (self.scale, self.shift) == (1, (0, 0)):
            return (*steps, "in MNIST's form already: left in place")
        steps.append(f"cut out {right - left} × {bottom - top} px")
        if self.thickened > 1:
            steps.append(f"thin pen: thickened {self.thickened:.2g}×")
        if self.thickened < 1:
            steps.append(f"thick pen: thinned to {self.thickened:.0%}")
        moved = round(float(np.hypot(*self.shift)))
        return (*steps, f"moved {moved} px and scaled to {width} × {height} px")


@dataclass(frozen=True)
class Ink:
    """Ink told from paper.

    Attributes:
        strength: (height, width), 0 on paper to 1 where the ink is strongest.
        solid: (height, width), where it counts as ink.
        inverted: Whether the ink is darker than its paper.
        specks: How many parts were left out.
        ruled: Whether ruled lines were.
    """

    strength: Grey
    solid: NDArray[np.bool_]
    inverted: bool
    specks: int
    ruled: bool = False


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
    with reading(image) as opened:
        longest = max(opened.size)
        if opened is not image:  # a JPEG of our own can be decoded smaller
            opened.draft(None, working_size(opened))
        grey = to_grey(opened)
    reduction = max(grey.shape) / longest
    ink = ink_on_flat_paper(grey) or ink_on_uneven_paper(grey)
    if ink is None:
        return as_it_is(grey, reduction)
    if (ink_share := share_of(ink.solid)) < MIN_INK_SHARE:
        raise EmptyDrawingError(EMPTY)
    left, top, right, bottom = box = box_of(ink.solid)
    if is_in_place(ink.strength, box):
        pixels, thickened, scale, frame = ink.strength, 1.0, 1.0, (0.0, 0.0)
    else:
        digit, thickened = bring_pen_near_mnists(ink.strength[top:bottom, left:right])
        pixels, middle = centre(scale_to(DIGIT_BOX, digit))
        scale = DIGIT_BOX / max(right - left, bottom - top)
        frame = (
            grey.shape[1] / 2 - left - middle[0] / scale,
            grey.shape[0] / 2 - top - middle[1] / scale,
        )
    return Normalized(
        pixels=np.rint(255 * pixels).astype(np.uint8),
        inverted=ink.inverted,
        box=enlarge(box, 1 / reduction),
        scale=scale * reduction,
        shift=(frame[0] / reduction, frame[1] / reduction),
        stroke_width=estimate_stroke_width(pixels),
        ink_share=ink_share,
        thickened=thickened,
        specks=ink.specks,
        ruled=ink.ruled,
    )


def as_it_is(grey: Grey, reduction: float) -> Normalized:
    """Take the whole image as the digit, on black where a part of its border is dark."""
    height, width = grey.shape
    inverted = float(np.quantile(np.concatenate(sides(grey)), DARK_SIDES)) > 0.5
    pixels = resize(1 - grey if inverted else grey, (SIDE, SIDE))
    return Normalized(
        pixels=np.rint(255 * pixels).astype(np.uint8),
        inverted=inverted,
        box=enlarge((0, 0, width, height), 1 / reduction),
        scale=SIDE / max(height, width) * reduction,
        shift=(0.0, 0.0),
        stroke_width=estimate_stroke_width(pixels),
        ink_share=float(pixels.mean()),
        credible=False,
    )


def open_image(source: Image.Image | bytes | str | Path) -> Image.Image:
    """Open an image file and load its first frame.

    Args:
        source: A Pillow image, a path, or a file's bytes in one of `FORMATS`.

    Returns:
        A loaded Pillow image, of at most `MAX_PIXELS` pixels (see `FEWER_PIXELS`).

    Raises:
        UnreadableImageError: If it is no such image, is damaged, or is too large.
    """
    with reading(source) as image:
        return image if image is source else image.copy()


@contextmanager
def reading(source: Image.Image | bytes | str | Path) -> Iterator[Image.Image]:
    """Open an image of at most `MAX_PIXELS`; any failure to decode it is one clear error."""
    wanted = f"Pass a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    try:
        if isinstance(source, Image.Image):
            yield check_size(source)
        else:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=FORMATS) as image:
                yield check_size(image)
    except (UnreadableImageError, EmptyDrawingError):
        raise
    except FileNotFoundError:
        raise UnreadableImageError(f"There is no file {source!s}. {wanted}.") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError(
            f"The image is too large. Pass one of at most {MAX_PIXELS // 1_000_000} million pixels."
        ) from None
    except Exception:  # Pillow's decoders raise many kinds on damaged files
        raise UnreadableImageError(f"This file cannot be read as an image. {wanted}.") from None


def check_size(image: Image.Image) -> Image.Image:
    """Return the image if it is neither empty nor too large to decode."""
    most = min(FEWER_PIXELS.get(kind or "", MAX_PIXELS) for kind in (image.format, image.mode))
    for has, (width, height) in (("has", image.size), ("comes in tiles of", tile_of(image))):
        if width * height > most:
            raise UnreadableImageError(
                f"The image {has} {width} × {height} pixels. "
                f"Pass one of at most {most // 1_000_000} million pixels."
            )
    if count_scans(image) > MAX_SCANS:
        raise UnreadableImageError(
            f"The image comes in more than {MAX_SCANS} scans. Pass it as an ordinary JPEG file."
        )
    if not image.width * image.height:
        raise EmptyDrawingError("The image has no pixels. Draw a digit, or pass an image of one.")
    return image


def tile_of(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of a TIFF file's tiles, which are decoded whole; 0 for others."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)


def count_scans(image: Image.Image) -> int:
    """Return how many scans a JPEG file that is not decoded yet has; 0 for others."""
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or file is None:
        return 0
    place = file.tell()
    file.seek(0)
    scans: int = file.read().count(START_OF_SCAN)
    file.seek(place)
    return scans


def to_grey(image: Image.Image) -> Grey:
    """Turn an image of any mode upright, shrink it to `WORKING_SIDE` and make it grey.

    Returns:
        (height, width) brightness, 0 to 1.
    """
    image = ImageOps.exif_transpose(shrink(image))
    if image.mode == "F":
        return deep_grey(np.asarray(image))
    if image.mode == "RGBA":
        image = flatten(image)
    if image.mode == "RGB":
        image = most_telling_band(image)
    grey = np.array(image, np.float32)
    grey /= np.float32(255)  # in place, as below: fresh memory of this size costs more than the sum
    return grey


def shrink(image: Image.Image) -> Image.Image:
    """Average an image down to `WORKING_SIDE`, a band of rows at a time to spare memory."""
    factor = max(max(image.size) // WORKING_SIDE, 1)
    if factor > 1:
        size = -(-image.width // factor), -(-image.height // factor)
        step = factor * max(2_000_000 // (factor * image.width), 1)
        bands = [
            plain(image.crop((0, top, image.width, min(top + step, image.height)))).reduce(factor)
            for top in range(0, image.height, step)
        ]
        small = Image.new(bands[0].mode, size)
        for row, band in enumerate(bands):
            small.paste(band, (0, row * step // factor))
        small.info = image.info
    else:
        small = plain(image)
    return small.resize(working_size(small), Image.Resampling.BOX)


def working_size(image: Image.Image) -> tuple[int, int]:
    """Return the size that an image is worked on in: its own, or `WORKING_SIDE` at most."""
    ratio = min(WORKING_SIDE / max(image.size), 1)
    return max(round(image.width * ratio), 1), max(round(image.height * ratio), 1)


def plain(image: Image.Image) -> Image.Image:
    """Convert any mode to L, RGB, RGBA or, for 16 and 32 bits, F."""
    if image.mode.startswith(("I", "F")):
        deep = Image.fromarray(np.asarray(image, np.float32))
        deep.info = image.info  # says which way up it is
        return deep
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") or has_grey_palette(image) else "RGB")


def has_grey_palette(image: Image.Image) -> bool:
    """Tell whether an image is made of a list of greys, as small PNG files often are."""
    palette = image.getpalette("RGB") if image.mode == "P" else None
    return palette is not None and palette[::3] == palette[1::3] == palette[2::3]


def flatten(image: Image.Image) -> Image.Image:
    """Put an RGBA image, RGB or L after that, onto what its ink is not: white under dark ink."""
    red, green, blue, alpha = image.split()
    colours = red if red == green == blue else image.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return colours
    weights = np.asarray(alpha, np.float32)
    ink = float((np.asarray(colours.convert("L")) * weights).sum()) / max(float(weights.sum()), 1.0)
    paper = Image.new(colours.mode, image.size, "white" if ink < 128 else "black")
    paper.paste(colours, mask=alpha)
    return paper


def most_telling_band(image: Image.Image) -> Image.Image:
    """Make an RGB image grey, by one colour alone where ink and paper are equally bright."""
    small = image.reduce(max(min(image.size) // 64, 1))  # enough to compare by
    counts = np.array(small.convert("L").histogram() + small.histogram()).reshape(4, 256)
    values = np.arange(256)
    total = small.width * small.height
    spread = np.sqrt(counts @ values**2 / total - (counts @ values / total) ** 2)
    best = int(np.argmax(spread))
    return image.getchannel(best - 1) if spread[best] > 1.5 * spread[0] else image.convert("L")


def deep_grey(values: Grey) -> Grey:
    """Scale grey values of 16 or 32 bits to 0 to 1 by the depth they use: 1, 8 bits, or 9 and more.

    A few values above 1 are what resampling leaves.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    depth = 1 if top <= 1.1 else 2 ** max(math.ceil(math.log2(top + 1)), 8) - 1
    grey: Grey = np.clip(values / np.float32(depth), 0, 1)
    return grey


def ink_on_flat_paper(grey: Grey) -> Ink | None:
    """Tell ink from paper of one brightness, which is what the border mostly shows.

    The ink keeps its grey levels, so MNIST's own digits stay as they are.

    Args:
        grey: (height, width) brightness, 0 to 1.

    Returns:
        The ink, or None if this is no drawing: it has more than two levels, or inked borders.

    Raises:
        EmptyDrawingError: If nothing differs from the paper.
    """
    paper = float(np.median(np.concatenate(sides(grey))))
    darker, lighter = paper - float(grey.min()), float(grey.max()) - paper
    inverted, contrast = darker > lighter, max(darker, lighter)
    if contrast < MIN_CONTRAST:
        raise EmptyDrawingError(EMPTY)
    difference = paper - grey if inverted else grey - paper
    ruled = take_lines_out(difference)
    if ruled and (contrast := float(difference.max())) < MIN_CONTRAST:
        raise EmptyDrawingError(EMPTY)
    on_paper = (difference < FLAT) & (difference > -FLAT)
    strength = np.divide(difference, np.float32(contrast), out=difference)
    np.clip(strength, 0, 1, out=strength)
    solid = strength >= INK_LEVEL
    box = box_of(solid)
    if sheet := ink_on_sheet(grey, solid, box):
        return sheet
    if not is_drawing(on_paper, strength, solid):
        return None
    specks = 0
    inner = window(box)
    labels, count = find_parts(solid[inner])
    if count > 1:
        areas = np.bincount(labels[solid[inner]])
        small = areas < SPECK_SHARE * areas.max()
        specks = int(small[1:].sum())
        strength[inner][small[labels] & solid[inner]] = 0
        solid = strength >= INK_LEVEL
    return Ink(strength, solid, inverted, specks, ruled)


def take_lines_out(difference: Grey) -> bool:
    """Take ruled lines out, where there are two or more; a pen that crosses one stays whole.

    Args:
        difference: (height, width) how far from the paper each pixel is; changed.

    Returns:
        Whether there were any.
    """
    if min(difference.shape) < SMALLEST:
        return False
    found = False
    for rows in (difference, difference.T):
        if len(lines := find_lines(rows)) < 2:
            continue
        found = True
        for top, bottom in lines:
            above = rows[top - 1 if top else bottom]
            below = rows[bottom if bottom < len(rows) else top - 1]
            rows[top:bottom] = np.minimum(above, below)
    return found


def find_lines(rows: Grey) -> list[tuple[int, int]]:
    """Return the first row of each thin line from side to side, and the first one after it."""
    inked = (rows[:, 0] >= MIN_CONTRAST) & (rows[:, -1] >= MIN_CONTRAST)
    if not len(candidates := np.flatnonzero(inked)):
        return []
    inked[candidates] = (rows[candidates] >= MIN_CONTRAST).mean(1) >= RULED
    edges = np.flatnonzero(np.diff(inked, prepend=False, append=False))
    thickest = max(round(THICKEST_LINE * min(rows.shape)), 1)
    lines = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(top, bottom) for top, bottom in lines if bottom - top <= thickest]


def ink_on_sheet(grey: Grey, solid: NDArray[np.bool_], box: Box) -> Ink | None:
    """Tell the ink of a sheet that lies on another colour, or has a frame of it.

    Args:
        grey: (height, width) brightness, 0 to 1.
        solid: (height, width), what seems to be ink, and is the sheet without its ink.
        box: Its edges.

    Returns:
        The ink, or None if this is no such sheet, or nothing clear is on it.
    """
    left, top, right, bottom = box
    inner = window((left + SHEET_EDGE, top + SHEET_EDGE, right - SHEET_EDGE, bottom - SHEET_EDGE))
    sheet = solid[inner]
    if min(sheet.shape) < SMALLEST or share_of(sheet) < SHEET_SHARE:
        return None
    if min(map(share_of, sides(sheet))) < SHEET_SIDE:
        return None
    try:
        ink = ink_on_flat_paper(grey[inner])
    except EmptyDrawingError:
        return None
    if ink is None:
        return None
    strength, solid = np.zeros_like(grey), np.zeros_like(solid)
    strength[inner], solid[inner] = ink.strength, ink.solid
    return Ink(strength, solid, ink.inverted, ink.specks, ink.ruled)


def is_drawing(paper: NDArray[np.bool_], strength: Grey, solid: NDArray[np.bool_]) -> bool:
    """Tell whether an image has two clear levels and sides that its ink hardly crosses.

    A tight cut may ink a whole side, such as a five's bar; hence the second worst side.
    """
    clear = paper | (strength > 0.9)
    clear_side = sorted(map(share_of, sides(clear)))[1]
    crossed_side = sorted(map(share_of, sides(solid)))[-2]
    return share_of(clear) > CLEAR and clear_side > CLEAR_SIDE and crossed_side < CROSSED_SIDE


def share_of(mask: NDArray[np.bool_]) -> float:
    """Return the share of a mask that is true: its mean, which takes NumPy ten times as long."""
    return int(np.count_nonzero(mask)) / mask.size


def ink_on_uneven_paper(grey: Grey) -> Ink | None:
    """Tell ink from paper under uneven light, on textured or ruled paper.

    Whatever is wider than a stroke is paper in its light. The rest is cut at rising levels and
    the cut with the strongest digit is taken: ruled lines fall away before a pen does.

    Args:
        grey: (height, width) brightness, 0 to 1.

    Returns:
        The ink, or None if the estimate is not credible.

    Raises:
        EmptyDrawingError: If nothing differs from the paper.
    """
    if min(grey.shape) < SMALLEST:
        return None
    coarse = scale_to(COARSE_SIDE, grey)
    inverted = is_ink_dark(coarse)
    contrast = contrast_to_paper(grey, coarse, inverted)
    best, solid, specks = 0.0, None, 0
    for level in ink_levels(contrast):
        cut = contrast > level
        strengths = cubed(contrast[cut])
        if strengths.sum(dtype=np.float64) <= best:
            break  # all that is left is no stronger, and less is left at the levels above
        if (found := find_digit(cut, strengths)) and found[0] > best:
            best, solid, specks = found
    if solid is None:
        return None
    left, top, right, bottom = box_of(solid)
    inner = window((max(left - 2, 0), max(top - 2, 0), right + 2, bottom + 2))
    near = grown(grown(solid[inner]))
    full = np.median(contrast[solid])
    others = contrast.copy()
    others[inner][near] = 0
    if full < CREDIBLE_CONTRAST * np.sqrt(np.mean(others * others)):
        return None
    strength = np.zeros_like(contrast)
    strength[inner] = np.where(near, np.clip(contrast[inner] / full, 0, 1), 0)
    return Ink(strength, solid, inverted, specks)


def is_ink_dark(coarse: Grey) -> bool:
    """Tell whether what differs from its surroundings is rather darker than lighter.

    The edge of a shadow or a table is as much darker on one side as it is lighter on the other
    (in logarithms, as light multiplies); ink is on one side alone.
    """
    light = np.log(coarse + np.float32(0.02))
    reach = max(round(SURROUNDINGS * min(light.shape)), 3)
    return bool(cubed(light - ndimage.uniform_filter(light, reach)).sum() <= 0)


def cubed(values: Grey) -> Grey:
    """Return the third power: NumPy's own takes ten times as long."""
    return values * values * values


def contrast_to_paper(grey: Grey, coarse: Grey, inverted: bool) -> Grey:
    """Estimate the paper in its light and how much darker, or lighter, than it each point is.

    A closing (the least of the brightest around) fills dark lines narrower than its window with
    the paper beside them and keeps the edges of shadows; an opening does so for light lines.

    Args:
        grey: (height, width) brightness, 0 to 1.
        coarse: The same, its longer side `COARSE_SIDE`.
        inverted: Whether the ink is darker than its paper.

    Returns:
        (height, width), 0 on paper to 1; a ratio, since a shadow dims ink and paper alike.
    """
    reach = max(round(WIDEST_STROKE * min(coarse.shape)), 3)
    filled = coarse
    for pick in (np.maximum, np.minimum) if inverted else (np.minimum, np.maximum):
        filled = extreme(pick, filled, reach)
    paper = resize(filled, grey.shape)
    difference = paper - grey if inverted else grey - paper
    contrast: Grey = np.clip(difference / np.maximum(np.maximum(paper, grey), DARKEST), 0, 1)
    return contrast


def extreme(pick: np.ufunc, values: Grey, reach: int) -> Grey:
    """Return the most or the least around each point, as SciPy does in five times the time.

    Args:
        pick: `np.maximum` or `np.minimum`; an even window reaches further right for the one and
            further left for the other, so that one after the other moves nothing.
        values: (height, width).
        reach: The side of the square window.
    """
    before = (reach - 1) // 2 if pick is np.maximum else reach // 2
    for _ in ("down", "across"):
        first, last = values[:1].repeat(before, 0), values[-1:].repeat(reach - 1 - before, 0)
        values, width = np.concatenate((first, values, last)), 1
        while width < reach:  # the extreme of a window is that of two smaller ones that cover it
            step = min(width, reach - width)
            values, width = pick(values[:-step], values[step:]), width + step
        values = values.T
    return values


def ink_levels(contrast: Grey) -> list[float]:
    """Propose levels from which contrast is ink: Otsu's, and Otsu's of what is above it.

    Raises:
        EmptyDrawingError: If there is less contrast than `MIN_CONTRAST`.

    Source: Otsu 1979, "A threshold selection method from gray-level histograms".
    """
    if contrast.max() < MIN_CONTRAST:
        raise EmptyDrawingError(EMPTY)
    bins = np.minimum(contrast * np.float32(256), np.float32(255)).astype(np.uint8)
    counts = np.array(Image.fromarray(bins).histogram())
    levels: list[float] = []
    while np.count_nonzero(counts) > 1 and len(levels) < MOST_LEVELS:
        first = otsu(counts)
        counts[:first] = 0
        levels.append(max(first / len(counts), MIN_CONTRAST))
    return sorted(set(levels))


def otsu(counts: NDArray[np.int64]) -> int:
    """Return the first bin of a histogram's upper class; Source: as above."""
    share = counts / counts.sum()
    below, sums = np.cumsum(share), np.cumsum(share * np.arange(len(counts)))
    between = (sums[-1] * below - sums) ** 2 / np.maximum(below * (1 - below), 1e-12)
    return int(np.argmax(between)) + 1


def find_digit(
    solid: NDArray[np.bool_], strengths: Grey
) -> tuple[float, NDArray[np.bool_], int] | None:
    """Find the strongest part that touches no border, and the parts that belong to it.

    Args:
        solid: (height, width), where contrast is above a level.
        strengths: (n,) the cubed contrast of each of these pixels, so that a pen outweighs
            longer, paler lines.

    Returns:
        How strong it is, the sum of its pixels' strengths; its mask; how many other parts of some
        strength were left out. None if too much else is as strong.
    """
    left, top, right, bottom = box_of(solid)
    inner = window((left, top, right, bottom))
    labels, count = find_parts(solid[inner])
    boxes = find_boxes(labels) + (left, top, left, top)
    height, width = solid.shape
    free = (boxes > 0).all(1) & (boxes[:, 2] < width) & (boxes[:, 3] < height)
    if not free.any():
        return None
    sums = np.bincount(labels[solid[inner]], strengths)[1:] * free
    main = int(sums.argmax())
    share = sums / sums[main]
    parts = (share >= PART_SHARE) & (gaps(boxes, boxes[main]) <= PART_GAP)
    if share[parts].sum() < CREDIBLE_SHARE * share.sum():
        return None
    specks = (share >= SPECK_SHARE) & ~parts
    mask = np.zeros_like(solid)
    mask[inner] = np.append(False, parts)[labels]
    return float(sums[parts].sum()), mask, int(specks.sum())


def gaps(boxes: NDArray[np.int64], main: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far (n, 4) boxes are from a main one, in its longer side; below 0 inside."""
    between = np.maximum(boxes[:, :2] - main[2:], main[:2] - boxes[:, 2:]).max(1)
    away: NDArray[np.float64] = between / (main[2:] - main[:2]).max()
    return away


def find_parts(solid: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the connected parts of the ink.

    Returns:
        (height, width) the part's number from 1, or 0; how many there are.
    """
    labels, count = ndimage.label(solid, np.ones((3, 3)))
    return labels, int(count)


def find_boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (n, 4) the left, top, right and bottom edge of each numbered part."""
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    return np.array(boxes, np.int64).reshape(-1, 4)


def is_in_place(strength: Grey, box: Box) -> bool:
    """Tell whether a digit has MNIST's form already, perhaps with a part of it wiped out.

    What is left of such a one must not be scaled and centred as if it were whole.
    """
    left, top, right, bottom = box
    least, most = IN_PLACE_SIDES
    if strength.shape != (SIDE, SIDE) or not least <= max(right - left, bottom - top) <= most:
        return False
    middle = np.add(ndimage.center_of_mass(strength), 0.5)
    return bool(np.abs(middle - CENTRE).max() <= NEARLY)


def bring_pen_near_mnists(digit: Grey) -> tuple[Grey, float]:
    """Make the strokes of a very thin pen thicker and those of a very thick one thinner.

    Args:
        digit: (height, width) ink, 0 to 1, cut out.

    Returns:
        The digit, cut out again, and how many times wider its strokes have become.
    """
    if max(digit.shape) < 2 * DIGIT_BOX:  # MNIST's own, and what is too small to tell
        return digit, 1.0
    fine = scale_to(FINE_SIDE, digit)
    if max(digit.shape) > FINE_SIDE and (fine**2).sum() < FAINT * fine.sum():
        fine = scale_to(FINE_SIDE, widen(digit, math.ceil(1.5 * max(digit.shape) / FINE_SIDE)))
    side, pen = max(fine.shape), estimate_stroke_width(ndimage.uniform_filter(fine, 3))
    share = float(np.clip(pen / side, THINNEST / DIGIT_BOX, THICKEST / DIGIT_BOX))
    factor = share * side / pen
    if abs(factor - 1) < NOT_WORTH or fine.max() < OUTLINE:  # all of it paler than a speck was
        return digit, 1.0
    grow = (share * side - pen) / (1 - share) / 2  # the side grows as well
    return swell(fine, grow), factor


def widen(digit: Grey, reach: int) -> Grey:
    """Make strokes `reach` pixels wide that are a hair's breadth."""
    return extreme(np.maximum, np.pad(digit, reach), reach)


def swell(digit: Grey, grow: float) -> Grey:
    """Move the outline of the ink outwards by `grow` pixels (inwards if negative)."""
    solid = np.pad(digit >= OUTLINE, int(max(grow, 0)) + 2)
    away = depths(~solid if grow > 0 else solid, math.ceil(abs(grow)) + 1)
    moved = np.clip(grow + 1 - away if grow > 0 else away + grow, 0, 1)
    left, top, right, bottom = box_of(moved >= INK_LEVEL)
    cut: Grey = moved[top:bottom, left:right]
    return cut


def depths(inside: NDArray[np.bool_], reach: int) -> Grey:
    """Measure how far pixels are from the nearest that is not inside, `reach` (below 182) at most.

    As SciPy's `distance_transform_edt` does, which takes five times as long.
    """
    down = inside * np.uint16(reach)
    edge = down.copy()
    for away in range(1, reach):
        np.minimum(down[away:], edge[:-away] + away, out=down[away:])
        np.minimum(down[:-away], edge[away:] + away, out=down[:-away])
    squared = down * down
    nearest = squared.copy()
    for away in range(1, reach):
        farther = squared + away * away
        np.minimum(nearest[:, away:], farther[:, :-away], out=nearest[:, away:])
        np.minimum(nearest[:, :-away], farther[:, away:], out=nearest[:, :-away])
    depth: Grey = np.sqrt(nearest, dtype=np.float32)
    return depth


def scale_to(side: int, grey: Grey) -> Grey:
    """Resize so that the longer side is `side`."""
    ratio = side / max(grey.shape)
    height, width = (max(1, round(length * ratio)) for length in grey.shape)
    return resize(grey, (height, width))


def resize(grey: Grey, shape: tuple[int, ...]) -> Grey:
    """Resize to (height, width), by area averaging (bilinear where it grows)."""
    height, width = shape
    if grey.shape == shape:
        return grey
    method = Image.Resampling.BOX if height <= len(grey) else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(grey).resize((width, height), method))


def sides(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the outermost pixels of an image, side by side."""
    return [values[0], values[-1], values[:, 0], values[:, -1]]


def box_of(solid: NDArray[np.bool_]) -> Box:
    """Return the left, top, right and bottom edge of what is ink."""
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def window(box: Box) -> tuple[slice, slice]:
    """Return what cuts a box out of an image."""
    left, top, right, bottom = box
    return slice(top, bottom), slice(left, right)


def grown(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add the neighbours above, below, left and right: SciPy's dilation takes ten times as long."""
    near = solid.copy()
    near[1:] |= solid[:-1]
    near[:-1] |= solid[1:]
    near[:, 1:] |= solid[:, :-1]
    near[:, :-1] |= solid[:, 1:]
    return near


def enlarge(box: Box, factor: float) -> Box:
    """Give a box in pixels of an image larger by `factor`."""
    left, top, right, bottom = (round(edge * factor) for edge in box)
    return left, top, right, bottom


def centre(digit: Grey) -> tuple[Grey, tuple[float, float]]:
    """Put the centre of mass into the middle of 28 × 28; also return its x and y in the digit."""
    places = np.arange(DIGIT_BOX) + 0.5
    height, width = digit.shape
    total = float(digit.sum())
    x, y = (float(digit.sum(a) @ places[:n]) / total for a, n in ((0, width), (1, height)))
    left = int(np.clip(round(CENTRE - x), 0, SIDE - width))
    top = int(np.clip(round(CENTRE - y), 0, SIDE - height))
    field = np.zeros((SIDE, SIDE), np.float32)
    field[top : top + height, left : left + width] = digit
    return field, (x, y)


def estimate_stroke_width(pixels: Grey) -> float:
    """Estimate the pen's width as twice the ink's area over its outline's length, in pixels."""
    height, width = pixels.shape
    padded = np.zeros((height + 4, width + 4), np.float32)
    padded[2:-2, 2:-2] = pixels
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down[1:-1] /= 2  # as `np.gradient` has it for one pixel of margin
    across[:, 1:-1] /= 2
    outline = float(np.sqrt(down * down + across * across).sum())  # hypot takes five times as long
    return 2 * float(pixels.sum()) / max(outline, 1e-6)
