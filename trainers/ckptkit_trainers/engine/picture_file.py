"""Picture files of a folder: which they are, and what is told of one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ckptkit.plugin import errors

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name; macOS leaves ``._a.png`` beside ``a.png``."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; what its pixels lack is told like what its header lacks.

    Raises: NotFoundError; UnknownFormatError for what is none, is too large, or breaks off.
    """
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as exc:
        raise errors.UnknownFormatError(
            path, "is no picture, whatever its name says", "a PNG, JPEG, TIFF, BMP or WebP",
            "take it out, or fetch it again",
        ) from exc  # fmt: skip
    except FileNotFoundError as exc:
        raise errors.NotFoundError(path, "is not there", "a picture", "look at its name") from exc
    except Image.DecompressionBombError as exc:
        raise errors.UnknownFormatError(
            path, f"has more pixels than Pillow opens ({exc})", "fewer", "cut it into smaller files"
        ) from exc
    except (OSError, SyntaxError) as exc:
        raise errors.UnknownFormatError(
            path, f"cannot be decoded ({exc})", "a whole picture", "take it out, or fetch it again"
        ) from exc


def require_eight_bits(path: Path, image: Image.Image) -> None:
    """Refuse more bits: Pillow would cut them off at 255. Raises: ForeignFormatError."""
    if image.mode.startswith(("I", "F")) or _is_cut(image):
        raise errors.ForeignFormatError(
            path, f"holds more than 8 bits a channel ({image.mode})", "8 bits a channel",
            "convert it first: what white means in it is not said",
        )  # fmt: skip


def _is_cut(image: Image.Image) -> bool:
    """Whether Pillow's decoder leaves out the lower of 16 bits: it says so in its own mode."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def read_picture(path: Path, mode: str = "RGB", *, upright: bool = True) -> Image.Image:
    """Decode a picture of 8 bits; what is transparent lies on white.

    ``upright``: as its EXIF says that it was held.

    Raises: as ``opened`` and ``require_eight_bits``.
    """
    with opened(path) as image:
        require_eight_bits(path, image)
        held = ImageOps.exif_transpose(image) if upright else image
        if held.has_transparency_data:
            seen = held.convert("RGBA")
            held = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
        return held.convert(mode)
