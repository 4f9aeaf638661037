from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from keyact.errors import InputError
from keyact.media import ImageLimits, load_image, source_name
from keyact.media.image import photo_size

# An L of four colours that no turn or mirror maps to itself: red corner top left.
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 153, 0), (0, 0, 255), (102, 102, 102)  # web-safe


def card(width: int = 64, height: int = 48) -> np.ndarray:
    """RGB test card: quarters red, green / blue, grey."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = RED, GREEN
    pixels[top:, :left], pixels[top:, left:] = BLUE, GREY
    return pixels


def corners(bgr: np.ndarray) -> list[tuple[int, ...]]:
    """RGB colours well inside the four quarters: top left, top right, bottom left, right."""
    height, width = bgr.shape[:2]
    spots = [(height // 4, width // 4), (height // 4, 3 * width // 4)]
    spots += [(3 * height // 4, width // 4), (3 * height // 4, 3 * width // 4)]
    return [tuple(int(v) for v in bgr[y, x, ::-1]) for y, x in spots]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def assert_card(bgr: np.ndarray, tolerance: int = 0) -> None:
    assert bgr.dtype == np.uint8
    assert bgr.flags.c_contiguous
    np.testing.assert_allclose(corners(bgr), [RED, GREEN, BLUE, GREY], atol=tolerance)


def png_header(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose header claims a size; the pixels are whatever ``body`` inflates to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("form", "mode", "tolerance"),
    [
        ("PNG", "RGB", 0),
        ("PNG", "P", 3),
        ("PNG", "RGBA", 0),
        ("JPEG", "RGB", 6),
        ("JPEG", "CMYK", 6),
        ("WEBP", "RGB", 24),
        ("BMP", "RGB", 0),
        ("TIFF", "RGB", 0),
        ("TIFF", "CMYK", 2),
        ("GIF", "P", 3),
        ("PPM", "RGB", 0),
    ],
)
def test_formats_and_modes(form: str, mode: str, tolerance: int) -> None:
    image = Image.fromarray(card()).convert(mode)
    assert_card(load_image(encoded(image, form)), tolerance)


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "pil", "bgr", "rgb", "bgra"])
def test_every_kind_of_source_gives_the_same_pixels(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "карта 1.png"
    image = Image.fromarray(card())
    image.save(path)
    bgr = np.ascontiguousarray(card()[:, :, ::-1])
    sources = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "pil": image,
        "bgr": bgr,
        "rgb": card(),
        "bgra": np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)]),
    }
    loaded = load_image(sources[kind], channels="rgb" if kind == "rgb" else "bgr")
    np.testing.assert_array_equal(loaded, bgr)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(form: str, orientation: int) -> None:
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](card())
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    loaded = load_image(encoded(image, form, exif=exif.tobytes()))
    assert loaded.shape == (48, 64, 3)
    assert_card(loaded, {"JPEG": 6, "WEBP": 24}.get(form, 0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01\0\x06",
        b"",
    ],
)
def test_damaged_exif_does_not_spoil_the_photo(exif: bytes) -> None:
    assert_card(load_image(encoded(Image.fromarray(card()), "JPEG", exif=exif)), 6)


@pytest.mark.parametrize(
    ("array", "form", "expected"),
    [
        (np.full((4, 4), 0x8000, np.uint16), "PNG", 128),
        (np.full((4, 4), 0xFFFF, np.uint16), "PNG", 255),
        (np.full((4, 4), 0x00FF, np.uint16), "PNG", 1),
        (np.full((4, 4), 0x8000, np.uint16), "TIFF", 128),
        (np.full((4, 4), 0x8000, np.int32), "TIFF", 128),
        (np.full((4, 4), 0.5, np.float32), "TIFF", 128),
        (np.full((4, 4), np.nan, np.float32), "TIFF", 0),
        (np.full((4, 4), 77, np.uint8), "PNG", 77),
    ],
)
def test_deep_and_plain_grey_is_scaled_not_clipped(
    array: np.ndarray, form: str, expected: int
) -> None:
    loaded = load_image(encoded(Image.fromarray(array), form))
    assert loaded.shape == (4, 4, 3)
    assert (loaded == expected).all()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 128)), (127, 127, 255)),
        (Image.new("LA", (4, 4), (0, 0)), (255, 255, 255)),
        (Image.new("L", (4, 4), 10), (10, 10, 10)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
    ],
)
def test_alpha_is_blended_over_white(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert load_image(encoded(image, "PNG"))[0, 0].tolist() == list(expected)
    assert load_image(image)[0, 0].tolist() == list(expected)


def test_transparent_colour_of_a_palette_becomes_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert (load_image(encoded(image, "PNG", transparency=1)) == 255).all()


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (load_image(data) == [0, 0, 255]).all()


def test_one_pixel() -> None:
    data = encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")
    assert load_image(data).tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 9, np.uint8), [9, 9, 9]),
        (np.full((2, 3, 1), 9, np.uint8), [9, 9, 9]),
        (np.full((2, 3, 3), 257 * 200, np.uint16), [200, 200, 200]),
        (np.full((2, 3, 4), [10, 20, 30, 0], np.uint8), [255, 255, 255]),
        (np.full((3, 2, 3), [1, 2, 3], np.uint8).transpose(1, 0, 2), [1, 2, 3]),
    ],
)
def test_arrays(array: np.ndarray, expected: list[int]) -> None:
    loaded = load_image(array)
    assert loaded.shape == (2, 3, 3)
    assert loaded.flags.c_contiguous
    assert (loaded == expected).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 3), np.float32), "must be uint8 or uint16, not float32"),
        (np.zeros((2, 2, 2), np.uint8), r"must have shape \(H, W\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), r"must have shape \(H, W\)"),
        (np.zeros(5, np.uint8), "no pixels"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
    ],
)
def test_unfit_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_image(array)


def test_bad_channel_order_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="'bgr' or 'rgb'"):
        load_image(np.zeros((2, 2, 3), np.uint8), channels="gbr")  # type: ignore[arg-type]


JPEG = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)), "JPEG"
)


LZW = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)),
    "TIFF",
    compression="tiff_lzw",
)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.jpg", b"this is no photo\n" * 50, "not a photo that can be read"),
        ("empty.jpg", b"", "the file is empty"),
        ("truncated.jpg", JPEG[: len(JPEG) // 2], "damaged or truncated"),
        ("stub.jpg", JPEG[:20], "can"),
        ("truncated.png", png_header(50, 50, b"\0" * 100), "damaged or truncated"),
        ("bomb.png", png_header(30_000, 30_000), "megapixels"),
        ("large.png", png_header(10_000, 9_000), "10000 x 9000 pixels is over the limit"),
        ("none.png", png_header(0, 5), "not a photo|no pixels|damaged"),
        ("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC is not supported; convert"),
        ("shared.tif", b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 60, "damaged"),
        ("cut.tif", LZW[: len(LZW) // 2], "damaged, or a kind of TIFF that is not supported"),
        ("text.mp4", b"no video here", "not a photo that can be read"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_files_are_one_clear_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_image(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"^<bytes>: "):
        load_image(data)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.filterwarnings("error")
def test_avif_is_named_where_it_can_be_read() -> None:
    whole = encoded(Image.fromarray(card()), "AVIF")
    assert_card(load_image(whole), 24)
    with pytest.raises(InputError, match="damaged, or a kind of AVIF that is not supported"):
        load_image(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="TIFF and AVIF can"):
        load_image(b"text")


@pytest.mark.parametrize("suffix", [".mp4", ".3gp", ".mkv", ".avi", ".mpg", ".ts", ".m2ts", ".flv"])
@pytest.mark.parametrize("limits", [ImageLimits(), ImageLimits(max_bytes=1000)])
def test_a_video_is_told_from_a_photo(tmp_path: Path, suffix: str, limits: ImageLimits) -> None:
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        codec = {".mpg": "mpeg2video", ".flv": "flv"}.get(suffix, "mpeg4")
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(25):
            noise = np.random.default_rng(shade).integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode(None))
    assert path.stat().st_size > 1000
    with pytest.raises(InputError, match="is a video, not a photo; use keyact predict"):
        load_image(path, limits=limits)


@pytest.mark.filterwarnings("error")
def test_the_header_tells_the_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert photo_size(tmp_path / "a.jpg") == (99, 99)
    (tmp_path / "cut.tif").write_bytes(LZW[: len(LZW) // 2])
    for name in ("cut.tif", "gone.jpg"):
        with pytest.raises(InputError, match=name):
            photo_size(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such.jpg", "no/such.jpg: no such file"),
        (Path("no/such.jpg"), "no such file"),
        ("nul\0l.jpg", "cannot be read"),
        ("x" * 5000 + ".jpg", "cannot be read"),
        ("https://example.org/a.jpg", "web address"),
        (".", "is a folder"),
        (17, "a photo is a path, bytes, a NumPy array or a PIL image, not int"),
        (None, "not NoneType"),
    ],
)
def test_unusable_sources(source: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_image(source)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="not a regular file"):
        load_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("where", ["path", "bytes"])
def test_byte_cap(tmp_path: Path, where: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    source = path if where == "path" else JPEG
    assert load_image(source, limits=ImageLimits(max_bytes=len(JPEG))).shape == (99, 99, 3)
    with pytest.raises(InputError, match="larger than the limit of"):
        load_image(source, limits=ImageLimits(max_bytes=len(JPEG) - 1))


@pytest.mark.parametrize("source", [Image.new("L", (20, 10)), np.zeros((10, 20, 3), np.uint8)])
def test_pixel_cap_holds_for_decoded_photos(source) -> None:
    assert load_image(source, limits=ImageLimits(max_pixels=200)).shape == (10, 20, 3)
    with pytest.raises(InputError, match="20 x 10 pixels is over the limit"):
        load_image(source, limits=ImageLimits(max_pixels=199))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/b.jpg", "a/b.jpg"),
        (b"123", "<bytes>"),
        (np.zeros((2, 2)), "<ndarray>"),
        (Image.new("L", (1, 1)), "<Image>"),
    ],
)
def test_source_name(source: object, name: str) -> None:
    assert source_name(source) == name
