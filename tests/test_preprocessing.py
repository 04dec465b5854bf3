import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from space.reader import (
    Classifier,
    EmptyDrawingError,
    Release,
    UnreadableImageError,
    normalize,
)
from space.reader.preprocessing import FORMATS, THICKEST, THINNEST, depths


def drawing(
    size: tuple[int, int] = (280, 280),
    start: tuple[int, int] = (60, 40),
    ink: int = 0,
    paper: int = 255,
) -> Image.Image:
    """A seven in a pen of 18 pixels."""
    image = Image.new("L", size, paper)
    x, y = start
    line = [(x, y), (x + 90, y), (x + 30, y + 150)]
    ImageDraw.Draw(image).line(line, fill=ink, width=18, joint="curve")
    return image


def with_pen(width: int, larger: int = 1) -> Image.Image:
    """A five in two strokes, its bar apart from its belly, on a sheet so many times larger."""
    image = Image.new("L", (280 * larger, 280 * larger), 255)
    canvas = ImageDraw.Draw(image)
    bar, stem, belly = np.multiply(
        ((110, 60, 190, 58), (100, 70, 95, 130), (80, 120, 190, 230)), larger
    ).tolist()
    canvas.line(bar, fill=0, width=width)
    canvas.line(stem, fill=0, width=width)
    canvas.arc(belly, 200, 500, fill=0, width=width)
    return image


def centre_of_mass(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    places, mass = np.arange(28) + 0.5, pixels.sum()
    return pixels.sum(1) @ places / mass, pixels.sum(0) @ places / mass


def test_what_is_left_of_a_digit_in_mnists_form_stays_in_place(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    whole = mnist["test_images"][0]  # a seven
    wiped = whole.copy()
    wiped[7:13, 6:12] = 0
    seen = normalize(Image.fromarray(wiped))
    assert (seen.pixels == wiped).all()
    assert seen.steps[-1] == "in MNIST's form already: left in place"
    small = np.pad(np.asarray(Image.fromarray(whole).resize((14, 14))), 7)
    large = np.kron(whole, np.ones((2, 2), np.uint8))
    for other in (small, large, np.roll(whole, 5, 1)):
        moved = normalize(Image.fromarray(other))
        assert "scaled" in moved.steps[-1]
        assert np.abs(np.subtract(centre_of_mass(moved.pixels), 14.5)).max() < 1


def test_mnists_own_digits_pass_through_almost_unchanged(
    mnist: dict[str, NDArray[np.uint8]], model_dir: Path
) -> None:
    images = mnist["test_images"]
    seen = np.stack([normalize(Image.fromarray(image)).pixels for image in images])
    assert np.abs(seen.astype(int) - images).mean() < 0.5, "of 255; the bound is 4"
    classifier, labels = Classifier(Release(model_dir)), mnist["test_labels"]
    before, after = (
        np.mean(classifier.predict(pixels[..., None]).argmax(1) == labels)
        for pixels in (images, seen)
    )
    assert after >= before - 0.0005


@pytest.mark.parametrize("start", [(20, 20), (60, 40), (150, 100)])
def test_the_place_does_not_matter(start: tuple[int, int]) -> None:
    assert (normalize(drawing(start=start)).pixels == normalize(drawing()).pixels).all()


@pytest.mark.parametrize("size", [(140, 140), (560, 560), (840, 840)])
def test_the_size_hardly_matters(size: tuple[int, int]) -> None:
    pixels = normalize(drawing().resize(size, Image.Resampling.BICUBIC)).pixels
    assert np.abs(pixels.astype(int) - normalize(drawing()).pixels).mean() < 15, "a pixel apart"


def test_polarity_is_found() -> None:
    dark, light = normalize(drawing()), normalize(drawing(ink=255, paper=0))
    assert dark.inverted and not light.inverted
    assert np.abs(dark.pixels.astype(int) - light.pixels).max() <= 1


def test_the_digit_fills_twenty_pixels_with_its_mass_in_the_middle() -> None:
    pixels = normalize(drawing(start=(30, 90))).pixels
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    assert np.ptp(rows) + 1 == 20
    assert 10 <= np.ptp(columns) + 1 < 20
    assert all(14 <= middle <= 15 for middle in centre_of_mass(pixels))


def test_what_was_done_is_measured_and_said() -> None:
    seen = normalize(drawing(start=(20, 20)))
    left, top, right, bottom = seen.box
    assert (bottom - top) * seen.scale == pytest.approx(20)
    assert 8 <= left <= 20 and 100 <= right <= 125
    assert seen.shift[0] > 30 and seen.shift[1] > 10
    assert 1.5 < seen.stroke_width < 3.5
    assert 0.03 < seen.ink_share < 0.1
    assert seen.steps[0] == "dark on light: inverted"
    assert seen.steps[1] == f"cut out {right - left} × {bottom - top} px"
    assert seen.steps[-1] == f"moved {round(np.hypot(*seen.shift))} px and scaled to 12 × 20 px"


@pytest.mark.parametrize(("pen", "said"), [(4, "thickened"), (18, ""), (56, "thinned")])
def test_a_thin_and_a_thick_pen_are_brought_near_mnists(pen: int, said: str) -> None:
    seen = normalize(with_pen(pen))
    assert THINNEST - 0.4 < seen.stroke_width < THICKEST + 0.8
    assert said in " ".join(seen.steps)
    assert (seen.thickened != 1) == bool(said)


@pytest.mark.parametrize("larger", [1, 2, 3])
def test_no_stroke_is_lost_that_is_a_hairs_breadth(larger: int) -> None:
    hair, pen = normalize(with_pen(1, larger)).pixels, normalize(with_pen(12)).pixels
    kept = np.minimum(hair, ndimage.maximum_filter(pen, 3)).sum() / hair.sum()
    found = np.minimum(pen, ndimage.maximum_filter(hair, 3)).sum() / pen.sum()
    assert kept > 0.95 and found > 0.95


@pytest.mark.parametrize("width", [3, 60])
def test_ink_that_is_paler_than_a_speck_was_is_left_as_it_is(width: int) -> None:
    sheet = Image.new("L", (280, 280), 255)
    pen = ImageDraw.Draw(sheet)
    pen.line([80, 60, 200, 220], fill=150, width=width)
    pen.rectangle([20, 20, 21, 21], fill=0)
    seen = normalize(sheet)
    assert seen.specks == 1 and seen.thickened == 1
    rows, columns = np.nonzero(seen.pixels)
    assert np.ptp(rows) + 1 == 20 and abs(np.corrcoef(rows, columns)[0, 1]) > 0.5


@settings(deadline=None, max_examples=50)
@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.integers(1, 40))
def test_depths_are_scipys_as_far_as_they_reach(inside: NDArray[np.bool_], reach: int) -> None:
    expected = np.minimum(ndimage.distance_transform_edt(inside), reach)
    if inside.all():  # SciPy measures from a false pixel, whatever there is
        expected[:] = reach
    assert np.array_equal(depths(inside, reach), expected.astype(np.float32))


def test_a_bar_apart_is_kept_and_specks_are_not() -> None:
    image = with_pen(16)
    clean = normalize(image)
    for place in ((20, 20), (250, 30), (30, 260)):
        ImageDraw.Draw(image).circle(place, 1, fill=0)
    seen = normalize(image)
    assert (seen.pixels == clean.pixels).all() and clean.box[1] < 60
    assert "3 specks ignored" in seen.steps and clean.specks == 0


def ruled(image: Image.Image, grey: int, squared: bool, first: int) -> Image.Image:
    """Rule a sheet beneath what is drawn on it."""
    sheet = np.asarray(image).copy()
    for rows in (sheet, sheet.T)[: 1 + squared]:
        for top in range(first, len(rows), 30):
            rows[top : top + 2] = np.minimum(rows[top : top + 2], grey)
    return Image.fromarray(sheet)


@pytest.mark.parametrize("grey", [215, 120, 0])
@pytest.mark.parametrize(("squared", "first"), [(False, 0), (False, 8), (True, 15)])
@pytest.mark.parametrize("turn", [lambda image: image, ImageOps.invert])
def test_ruled_lines_are_no_ink(
    turn: Callable[[Image.Image], Image.Image], squared: bool, first: int, grey: int
) -> None:
    clean = normalize(drawing())
    lined = normalize(turn(ruled(drawing(), grey, squared, first)))
    assert np.abs(np.subtract(lined.box, clean.box)).max() <= 2
    assert np.abs(lined.pixels.astype(int) - clean.pixels).mean() < 2
    assert "ruled lines left out" in lined.steps and "ruled lines left out" not in clean.steps
    with pytest.raises(EmptyDrawingError):
        normalize(turn(ruled(Image.new("L", (280, 280), 255), grey, squared, first)))


def test_the_thin_bar_of_a_tight_cut_is_no_ruled_line() -> None:
    seven = Image.new("L", (140, 280), 255)
    ImageDraw.Draw(seven).line([(0, 40), (139, 40), (60, 270)], fill=0, width=4)
    seen = normalize(seven)
    assert not seen.ruled and seen.box[1] <= 40


def patterns(side: int) -> dict[str, NDArray[np.generic]]:
    rng, places = np.random.default_rng(0), np.arange(side)
    waves = np.sin(places / side * 4)
    return {
        "noise": rng.integers(0, 256, (side, side)),
        "grey noise": 128 + 30 * rng.standard_normal((side, side)),
        "stripes": np.repeat(places[:, None] * 14 // side % 2 * 255, side, 1),
        "slanted stripes": (places[:, None] + places) * 14 // side % 2 * 255,
        "fog": 128 + 100 * waves[:, None] * waves + 12 * rng.standard_normal((side, side)),
    }


@pytest.mark.parametrize("side", [28, 64, 280, 900])
@pytest.mark.parametrize("pattern", patterns(28))
def test_where_ink_is_not_credible_the_image_is_read_as_it_is(pattern: str, side: int) -> None:
    values = np.clip(patterns(side)[pattern], 0, 255).astype(np.uint8)
    seen = normalize(Image.fromarray(values))
    assert not seen.credible
    assert seen.steps[1] == "the paper could not be told from the ink: read as it is"
    if side == 28:
        expected = 255 - values if seen.inverted else values
        assert np.abs(seen.pixels.astype(int) - expected).max() <= 1


def test_blank_paper_under_a_lamp_is_empty() -> None:
    grain = np.random.default_rng(0).normal(0, 2, (600, 800))
    paper = np.linspace(140, 230, 800) + grain
    with pytest.raises(EmptyDrawingError):
        normalize(Image.fromarray(paper.astype(np.uint8)))


def test_ink_as_bright_as_its_paper_is_told_by_its_colour() -> None:
    mask = Image.eval(drawing(), lambda value: 255 - value)
    image = Image.composite(
        Image.new("RGB", mask.size, (230, 60, 60)), Image.new("RGB", mask.size, (40, 158, 60)), mask
    )
    seen = normalize(image)
    assert np.abs(seen.pixels.astype(int) - normalize(drawing()).pixels).mean() < 3


def test_the_callers_image_is_left_as_it_is() -> None:
    file = io.BytesIO()
    drawing((2_000, 2_000)).save(file, "JPEG")
    image = Image.open(file)
    normalize(image)
    assert image.size == (2_000, 2_000)


def test_a_large_image_is_reported_in_its_own_pixels() -> None:
    large = drawing().resize((2_800, 2_800))
    file = io.BytesIO()
    large.save(file, "JPEG", quality=95)
    for image in (large, file.getvalue()):
        seen = normalize(image)
        assert np.abs(np.array(seen.box) - 10 * np.array(normalize(drawing()).box)).max() <= 12
        assert seen.scale == pytest.approx(normalize(drawing()).scale / 10, rel=0.02)
        assert seen.shift == pytest.approx(10 * np.array(normalize(drawing()).shift), abs=15)


def modes() -> dict[str, Image.Image]:
    """The same drawing in many modes."""
    grey = drawing()
    mask = Image.eval(grey, lambda value: 255 - value)
    black, white = Image.new("RGB", grey.size, 0), Image.new("RGB", grey.size, (255,) * 3)
    light = white.copy()
    light.putalpha(mask)
    dark = black.copy()
    dark.putalpha(mask)
    return {
        "grey": grey,
        "colour": grey.convert("RGB"),
        "one bit": grey.convert("1"),
        "palette": grey.convert("P"),
        "CMYK": grey.convert("CMYK"),
        "16 bits": Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
        "32 bits": grey.convert("I"),
        "float": grey.convert("F"),
        "black ink on nothing": dark,
        "white ink on nothing": light,
        "grey and alpha": dark.convert("LA"),
        "blue ink on yellow": Image.composite(
            Image.new("RGB", grey.size, (30, 30, 160)),
            Image.new("RGB", grey.size, (250, 240, 150)),
            mask,
        ),
    }


@pytest.mark.parametrize("mode", modes())
def test_every_mode_of_the_same_drawing_is_seen_alike(mode: str) -> None:
    pixels = normalize(modes()[mode]).pixels
    assert np.abs(pixels.astype(int) - normalize(drawing()).pixels).mean() < 3


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "L"), ("PNG", "L"), ("PNG", "I;16"), ("TIFF", "L"), ("TIFF", "I;16")],
)
def test_a_turned_scan_is_seen_upright(kind: str, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° to be upright
    turned = drawing().transpose(Image.Transpose.ROTATE_90)
    if mode == "I;16":
        turned = Image.fromarray(np.asarray(turned).astype(np.uint16) * 257)
    file = io.BytesIO()
    turned.save(file, kind, exif=exif)
    seen = normalize(file.getvalue())
    assert np.abs(seen.pixels.astype(int) - normalize(drawing()).pixels).mean() < 3


@pytest.mark.parametrize("top", [2**bits - 1 for bits in range(9, 17)])
def test_deep_grey_is_read_at_any_depth(top: int) -> None:
    deep = np.asarray(drawing()).astype(np.float64) / 255 * top
    seen = normalize(Image.fromarray(deep.astype(np.uint16)))
    assert np.abs(seen.pixels.astype(int) - normalize(drawing()).pixels).max() <= 1
    assert normalize(Image.fromarray((deep / top * 1.01).astype(np.float32))).credible


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 230)])
@pytest.mark.parametrize("edge", [1, 12, 60, "transparent"])
def test_a_sheet_on_another_colour_is_read_as_the_sheet(edge: Any, ink: int, paper: int) -> None:
    sheet = drawing(ink=ink, paper=paper)
    if edge == "transparent":
        framed = ImageOps.expand(sheet.convert("RGBA"), 20, (0, 0, 0, 0))
    else:
        framed = ImageOps.expand(sheet, edge, 255 - paper)
    seen, wanted = normalize(framed), normalize(sheet)
    assert seen.inverted == wanted.inverted
    assert np.abs(seen.pixels.astype(int) - wanted.pixels).max() <= 1


def test_a_bar_is_no_sheet() -> None:
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).rectangle((110, 40, 170, 240), fill=0)
    seen = normalize(image)
    assert seen.inverted and seen.box == (110, 40, 171, 241)


@pytest.mark.parametrize("paper", [0, 127, 255])
def test_a_blank_image_is_empty(paper: int) -> None:
    with pytest.raises(EmptyDrawingError, match="Draw a digit"):
        normalize(Image.new("L", (280, 280), paper))
    with pytest.raises(EmptyDrawingError):
        normalize(Image.new("RGBA", (280, 280), (paper, paper, paper, 0)))


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    drawing().save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_and_half_a_file_is_refused(kind: str) -> None:
    content = encoded(kind)
    pixels = normalize(content).pixels
    assert np.abs(pixels.astype(int) - normalize(drawing()).pixels).mean() < 4
    with pytest.raises(UnreadableImageError, match="cannot be read as an image.* Pass a PNG"):
        normalize(content[: len(content) // 2])


@pytest.mark.parametrize("content", [b"", b"no image", b"<svg/>", b"%PDF-1.4", bytes(1000)])
def test_what_is_no_image_is_refused_with_what_to_pass(content: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="Pass a PNG, JPEG, WEBP, GIF, BMP or TIFF"):
        normalize(content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="no file .*three.png"):
        normalize(tmp_path / "three.png")


def test_more_than_fifty_megapixels_are_refused_before_they_are_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (8_000, 7_000)).save(file, "PNG")
    with pytest.raises(UnreadableImageError, match="8000 × 7000 pixels.*at most 50 million"):
        normalize(file.getvalue())


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 90),
    st.integers(0, 90),
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16", "HSV"]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_any_image_gives_pixels_or_is_empty(
    width: int, height: int, mode: str, seed: int, sparse: bool
) -> None:
    rng = np.random.default_rng(seed)
    width, height = (side if side < 80 else 100 * (side - 79) for side in (width, height))
    values = rng.integers(0, 256, (height, width, 4), np.uint8)
    if sparse:
        values[rng.random((height, width)) < 0.9] = 255
    if mode in ("I;16", "I", "F"):
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 200).convert(mode)
    else:
        image = Image.fromarray(values, "RGBA").convert("RGB" if mode == "HSV" else "RGBA")
        image = image.convert("RGB").convert(mode) if mode not in ("RGBA", "LA") else image
    try:
        seen = normalize(image)
    except EmptyDrawingError:
        return
    assert seen.pixels.shape == (28, 28) and seen.pixels.dtype == np.uint8
    assert seen.pixels.max() > 0
    assert all(isinstance(step, str) for step in seen.steps)
