"""Read picture files into the form that the networks take."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.core.errors import UserError
from pipeline.core.records import IMAGE_SIZE

FORMATS = ("PNG", "JPEG")


def load_image(file: Path) -> np.ndarray:
    """Read a PNG or JPEG of any size and mode as a (32, 32, 3) uint8 image.

    Rotated as its EXIF data says, transparent parts turned white, cropped to the central square and
    resized.

    Raises:
        UserError: the file is missing, damaged, animated, far too large, or not a PNG or JPEG.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                if getattr(image, "is_animated", False):
                    raise UserError(f"{file} is animated; give a single picture")
                image.load()
                return _to_pixels(image)
    except UnidentifiedImageError:
        raise UserError(f"{file} is not a PNG or JPEG image") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = Image.MAX_IMAGE_PIXELS
        raise UserError(f"{file} has more than {most:,} pixels; shrink it first") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{file} cannot be read ({reason})") from None


def _to_pixels(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    side = (IMAGE_SIZE, IMAGE_SIZE)
    return np.asarray(ImageOps.fit(upright.convert("RGB"), side, Image.Resampling.LANCZOS))
