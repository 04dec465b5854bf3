"""Files that are damaged, disguised, not accepted or made to exhaust: one clear error, no more.

Every file is made here.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from space.reader import EmptyDrawingError, UnreadableImageError, normalize
from space.reader.preprocessing import FORMATS
from tests.conftest import ROOT

SECONDS = 5  # for any of these files
MEGABYTES = 400  # for any accepted file


def digit(side: int = 120) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).line(
        [(side * 0.3, side * 0.2), (side * 0.7, side * 0.2), (side * 0.4, side * 0.8)],
        fill=(20, 20, 60),
        width=side // 15,
        joint="curve",
    )
    return image


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or digit()).save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, data: bytes = b"", bits: int = 8, colour: int = 0) -> bytes:
    """A PNG that claims a size, whatever its data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def damaged() -> Iterator[tuple[str, bytes]]:
    """Each accepted format cut at several places, with flipped bits, with a foreign tail."""
    rng = np.random.default_rng(0)
    for kind in FORMATS:
        whole = encoded(kind)
        for share in (0.02, 0.25, 0.5, 0.75, 0.95):
            yield f"{kind} cut at {share:.0%}", whole[: int(len(whole) * share)]
        for flips in (1, 10, 100):
            bits = np.unpackbits(np.frombuffer(whole, np.uint8))
            bits[rng.integers(0, len(bits), flips)] ^= 1
            yield f"{kind} with {flips} flipped bits", np.packbits(bits).tobytes()
        yield f"{kind} with its head flipped", bytes(255 - byte for byte in whole[:16]) + whole[16:]
        yield f"{kind} with its middle zeroed", whole[:60] + bytes(len(whole) - 80) + whole[-20:]


def not_accepted() -> Iterator[tuple[str, bytes]]:
    """Formats that Pillow could read or that others can, and what is no image."""
    for kind in ("PPM", "TGA", "PCX", "ICO", "EPS", "PDF", "JPEG2000", "SGI", "ICNS", "DDS"):
        yield kind, encoded(kind)
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "HEIC", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)
    yield "AVIF", b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif" + bytes(200)
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "HTML", b"<!doctype html><img src=x>"
    yield "ZIP", b"PK\x03\x04" + bytes(100)
    yield "ELF", b"\x7fELF" + bytes(100)
    yield "zero bytes", b""
    yield "one byte", b"\x89"
    yield "zeros", bytes(10_000)
    yield "text", b"sieben" * 100
    yield "noise", np.random.default_rng(1).bytes(5_000)


def exhausting() -> Iterator[tuple[str, bytes]]:
    """Small files that claim or unfold to a lot."""
    yield "PNG of 60,000 × 60,000", png(60_000, 60_000)
    yield "PNG of 2 billion × 2 billion", png(2**31 - 1, 2**31 - 1)
    yield "PNG of no width", png(0, 10)
    yield "PNG of 51 megapixels", png(10_000, 5_100, bytes(1_251 * 5_100), bits=1)
    yield "GIF of 65,535 × 65,535", b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(20)
    yield "BMP of 2 billion × 2 billion", encoded("BMP")[:18] + b"\xff\xff\xff\x7f" * 2 + bytes(40)
    yield "TIFF that names itself as its next page", tiff_loop()
    yield "one tile of 8,192 × 8,192 behind 100 × 100", tiff_in_a_tile(100, 8_192)
    jpeg = bytearray(encoded("JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    yield "JPEG of 65,535 × 65,535", bytes(jpeg)
    yield "JPEG of 5,000 scans", jpeg_in_scans(5_000)
    webp = bytearray(encoded("WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield "WebP of 16,384 × 16,384", bytes(webp)


def jpeg_in_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes over and over."""
    whole = encoded("JPEG", Image.new("L", (496, 496), "white"), progressive=True)
    end = whole.rindex(b"\xff\xd9")
    scan = whole[whole.rindex(b"\xff\xda") : end]
    return whole[:end] + scan * count + whole[end:]


def tiff_loop() -> bytes:
    content = bytearray(encoded("TIFF"))
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    end = first + 2 + 12 * entries
    content[end : end + 4] = struct.pack("<I", first)
    return bytes(content)


def tiff_in_a_tile(side: int, tile: int) -> bytes:
    """A square that is the corner of one tile, which is decoded whole."""
    data = zlib.compress(bytes(tile * tile))
    numbers = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile}
    numbers |= {324: 8 + 2 + 12 * (len(numbers) + 2) + 4, 325: len(data)}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items()]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + data


HOSTILE = dict([*damaged(), *not_accepted(), *exhausting()])
REFUSED = (
    {name for name in HOSTILE if " cut at " in name and "BMP" not in name}
    | {name for name, _ in not_accepted()}
    | {name for name, _ in exhausting() if "TIFF" not in name}
)


def test_there_are_sixty_and_more() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_clear_error_or_an_answer(name: str) -> None:
    started = time.perf_counter()
    try:
        pixels = normalize(HOSTILE[name]).pixels
        assert name not in REFUSED
        assert pixels.shape == (28, 28) and pixels.any()
    except UnreadableImageError as error:
        assert "Pass" in str(error)
    except EmptyDrawingError:
        assert name not in REFUSED
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("suffix", [".txt", ".png", ".jpg", ""])
def test_a_files_name_says_nothing(kind: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"digit{suffix}"
    file.write_bytes(encoded(kind))
    assert normalize(file).inverted
    file.write_bytes(encoded("PPM"))
    with pytest.raises(UnreadableImageError, match="Pass a PNG"):
        normalize(file)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_many_frames_the_first_is_read(kind: str) -> None:
    blank = Image.new("RGB", (120, 120), "white")
    content = encoded(kind, save_all=True, append_images=[blank] * 3)
    assert normalize(content).box == normalize(encoded(kind)).box


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_a_lazily_opened_broken_image_is_refused_too(kind: str) -> None:
    content = encoded(kind)
    with pytest.raises(UnreadableImageError):
        normalize(Image.open(io.BytesIO(content[: len(content) // 2])))


MEASURE = """
import sys
from space.reader.preprocessing import normalize
assert normalize(sys.argv[1]).inverted
print(next(line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak memory")
@pytest.mark.parametrize(
    ("kind", "mode", "megapixels", "options"),
    [
        ("PNG", "RGBA", 50, {"compress_level": 1}),
        ("JPEG", "RGB", 50, {"progressive": True, "subsampling": 0}),
        ("BMP", "RGB", 50, {}),
        ("GIF", "P", 50, {}),
        ("WEBP", "RGBA", 16, {"method": 0}),
        ("TIFF", "CMYK", 30, {"compression": "tiff_deflate", "strip_size": 2**30}),
        ("TIFF", "F", 30, {}),
    ],
)
def test_the_largest_accepted_file_needs_at_most_400_mb(
    kind: str, mode: str, megapixels: int, options: dict[str, object], tmp_path: Path
) -> None:
    side = int((megapixels * 1e6) ** 0.5)
    file = tmp_path / "large"
    file.write_bytes(encoded(kind, digit(side).convert(mode), **options))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < MEGABYTES * 1e6
