"""Photo loading: any common format in, an upright uint8 BGR array out.

Files are untrusted. Their bytes and pixels are capped before anything is decoded, only formats
with a decoder inside Pillow's own wheel are tried (never PostScript and the like), and every
failure is one :class:`~keyact.errors.InputError` that names the source.
"""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from keyact.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

ImageSource: TypeAlias = Union[str, Path, bytes, NDArray[Any], "Image.Image"]
"""What :func:`load_image` accepts."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"mif1")
_A_VIDEO = (
    "is a video, not a photo; use keyact predict (its name must end as a video's does, such as "
    ".mp4), or keyact.media.iter_frames in Python"
)
# How the containers of videos begin, and where.
_VIDEO_STARTS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI "), (0, b"OggS"),
    (0, b"FLV\1"), (0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"0&\xb2u"),
)  # fmt: skip
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageLimits:
    """What a photo may cost before it is refused.

    Attributes
    ----------
    max_bytes : int
        Size of the encoded file.
    max_pixels : int
        Width times height, read from the header before decoding. The default stays under the
        89.4 megapixels at which Pillow warns; Pillow itself refuses more than 178.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 89_000_000


DEFAULT_LIMITS = ImageLimits()


def load_image(
    source: ImageSource,
    *,
    channels: Literal["bgr", "rgb"] = "bgr",
    limits: ImageLimits = DEFAULT_LIMITS,
) -> NDArray[np.uint8]:
    """Load one photo as an upright BGR array.

    Parameters
    ----------
    source : str, Path, bytes, ndarray or PIL.Image.Image
        A file, an encoded photo, or pixels: (H, W) grey, (H, W, 3) colour or (H, W, 4) colour
        with alpha, uint8 or uint16.
    channels : {"bgr", "rgb"}, default "bgr"
        Channel order of ``source``; it matters for arrays only.
    limits : ImageLimits
        Caps on bytes and pixels.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        BGR pixels, C-contiguous. EXIF orientation is applied, 16-bit samples are scaled to 8,
        alpha is blended over white, CMYK, palette and grey become colour, an animation gives its
        first frame. A uint8 BGR array is returned as it is, without a copy.

    Raises
    ------
    InputError
        If the source is missing, not a photo, truncated or over a limit.
    ValueError
        If there are no such ``channels``.
    """
    if channels not in ("bgr", "rgb"):
        raise ValueError(f"channels is 'bgr' or 'rgb', not {channels!r}")
    name = source_name(source)
    if isinstance(source, np.ndarray):
        _check_pixels(name, source.shape[1::-1] if source.ndim >= 2 else (0, 0), limits)
        return _array_to_bgr(source, name, channels)
    if not isinstance(source, (str, Path, bytes, bytearray, memoryview)):
        return _pil_to_bgr(_require_pil(source, name), name, limits)
    data = bytes(source) if not isinstance(source, (str, Path)) else _read(source, limits)
    if len(data) > limits.max_bytes:
        if _is_video(data):
            raise InputError(f"{name}: {_A_VIDEO}")
        raise InputError(f"{name}: larger than the limit of {limits.max_bytes / 2**20:g} MiB")
    if not data:
        raise InputError(f"{name}: the file is empty")
    return _decode(data, name, limits)


def photo_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a photo as its file holds it, not turned upright; nothing is decoded.

    Raises
    ------
    InputError
        If the file is no photo that can be read.
    """
    from PIL import Image

    if not Path(path).is_file():  # a pipe would block
        raise InputError(f"{path}: no such file")
    try:
        with _quiet(), Image.open(path, formats=_formats()) as photo:
            return photo.size
    except Exception as error:  # a broken header makes Pillow's parsers raise almost anything
        raise InputError(f"{path}: not a photo that can be read ({_reason(error)})") from None


def source_name(source: object) -> str:
    """How a source is called in results and error messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>"
    filename = getattr(source, "filename", None)  # a PIL image remembers its file
    return str(filename) if filename else f"<{type(source).__name__}>"


def _read(path: str | Path, limits: ImageLimits) -> bytes:
    if str(path).startswith(("http://", "https://")):
        raise InputError(f"{path}: is a web address; download the photo and give its path")
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder, not a photo; use find_media to list a folder")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device could block or never end
            raise InputError(f"{path}: is not a regular file")
        with open(path, "rb") as file:
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _decode(data: bytes, name: str, limits: ImageLimits) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with _quiet():
            image = Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_unidentified(data)}") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{name}: has far more pixels than the limit of {limits.max_pixels / 1e6:g} megapixels"
        ) from None
    except Exception as error:  # a broken header makes Pillow's parsers raise almost anything
        raise InputError(f"{name}: the photo's header is damaged ({_reason(error)})") from None
    with image:
        return _pil_to_bgr(image, name, limits)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings from the terminal: what matters of them, our own errors say."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


def _unidentified(data: bytes) -> str:
    """Why Pillow knows no photo in it, as far as its first bytes tell."""
    avif = "AVIF" in _formats()
    brands = data[8:64] if data[4:8] == b"ftyp" else b""  # the main one, then all that fit
    if any(brand in brands for brand in _AVIF_BRANDS):
        if avif:
            return "damaged, or a kind of AVIF that is not supported; convert it to PNG"
        return "AVIF needs Pillow 11.3 or newer: python -m pip install -U pillow"
    if brands.startswith(_HEIC_BRANDS):
        return "HEIC is not supported; convert it to JPEG"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "damaged, or a kind of TIFF that is not supported; convert it to PNG"
    if _is_video(data):
        return _A_VIDEO
    readable = f"JPEG, PNG, WebP, BMP, GIF, {'TIFF and AVIF' if avif else 'and TIFF'}"
    return f"not a photo that can be read ({readable} can)"


def _is_video(data: bytes) -> bool:
    if any(data.startswith(magic, at) for at, magic in _VIDEO_STARTS):
        return not data.startswith(_AVIF_BRANDS + _HEIC_BRANDS, 8)
    # MPEG-TS has only a byte at the start of its packets of 188, in .m2ts with 4 before each.
    return data[0:377:188] == b"GGG" or data[4:389:192] == b"GGG"


def _formats() -> tuple[str, ...]:
    try:
        from PIL import AvifImagePlugin  # Pillow 11.3 and newer
    except ImportError:
        return _FORMATS
    return (*_FORMATS, "AVIF") if AvifImagePlugin.SUPPORTED else _FORMATS


def _require_pil(source: object, name: str) -> Image.Image:
    from PIL import Image

    if not isinstance(source, Image.Image):
        raise InputError(
            f"{name}: a photo is a path, bytes, a NumPy array or a PIL image, "
            f"not {type(source).__name__}"
        )
    return source


def _pil_to_bgr(image: Image.Image, name: str, limits: ImageLimits) -> NDArray[np.uint8]:
    import cv2

    _check_pixels(name, image.size, limits)
    try:
        with _quiet():
            image.load()
            # After load(): Pillow turns TIFF itself while loading and then drops the tag.
            orientation = _orientation(image)
            rgb = _to_rgb(image)
    except Exception as error:  # damaged data makes Pillow's decoders raise almost anything
        raise InputError(f"{name}: the photo is damaged or truncated ({_reason(error)})") from None
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(_upright(bgr, orientation))


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        grey = _scale_to_8_bits(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, "white")
        image = Image.alpha_composite(white, colour)
    return np.asarray(image.convert("RGB"))


def _scale_to_8_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale deep grey to 0..255: floats from 0..1, integers from 0..65535 or their maximum."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
    top = values.max()
    full = 65535.0 if np.issubdtype(grey.dtype, np.integer) else 1.0
    scaled: NDArray[np.uint8] = (values.clip(0) * (255 / max(top, full))).round().astype(np.uint8)
    return scaled


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a photo with damaged EXIF data is still a photo
        return 1


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo the camera's rotation; EXIF orientations are 1 (upright) to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _array_to_bgr(
    array: NDArray[Any], name: str, channels: Literal["bgr", "rgb"]
) -> NDArray[np.uint8]:
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(
            f"{name}: an array must be uint8 or uint16, not {array.dtype}; "
            "for floats in 0..1 give (array * 255).astype(np.uint8)"
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InputError(
            f"{name}: an array must have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}"
        )
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.uint32)
        blended = (array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
        array = blended.astype(np.uint8)
    return np.ascontiguousarray(array if channels == "bgr" else array[:, :, ::-1])


def _check_pixels(name: str, size: tuple[int, ...], limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{name}: the photo has no pixels")
    if width * height > limits.max_pixels:
        raise InputError(
            f"{name}: {width} x {height} pixels is over the limit of "
            f"{limits.max_pixels / 1e6:g} megapixels"
        )


def _reason(error: Exception) -> str:
    """The first line of a decoder's message, for the end of ours."""
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__
