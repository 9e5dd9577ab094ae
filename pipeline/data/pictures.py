"""Pictures of any size as the square images that the networks take."""

import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.core.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP")
DRAFT = 2  # times the wanted side: the least that a picture is shrunk to before anything else
REDUCIBLE = ("L", "LA", "RGB", "RGBA")  # modes that can be shrunk by a whole factor
# load_image refuses such pictures itself; catching the warning does not work in threads.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def load_image(file: Path, side: int, fit: str) -> np.ndarray:
    """Read a PNG, JPEG or WebP of any size and mode as a (side, side, 3) uint8 image.

    Rotated as its EXIF data says, transparent parts turned white.

    Args:
        fit: see fit_image.

    Raises:
        UserError: the file is missing, damaged, animated, far too large, or not of these formats.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            if getattr(image, "is_animated", False):
                raise UserError(f"{file} is animated; give a single picture")
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError
            # A JPEG is decoded at a half, quarter or eighth of its size, if that is enough.
            image.draft(None, (DRAFT * side, DRAFT * side))
            return fit_image(_upright(_shrunk(image, DRAFT * side)), side, fit)
    except UnidentifiedImageError:
        raise UserError(f"{file} is not a PNG, JPEG or WebP image") from None
    except Image.DecompressionBombError:
        most = Image.MAX_IMAGE_PIXELS
        raise UserError(f"{file} has more than {most:,} pixels; shrink it first") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{file} cannot be read ({reason})") from None


def _shrunk(image: Image.Image, least: int) -> Image.Image:
    """Shrink a large picture by a whole factor, so that what follows takes little memory.

    Args:
        least: the smallest side that may be left, in pixels.
    """
    factor = min(image.size) // least
    if factor < 2 or image.mode not in REDUCIBLE:
        return image
    reduced = image.reduce(factor)
    reduced.info = image.info  # the EXIF data and a transparent colour
    return reduced


def _upright(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return upright.convert("RGB")


def fit_image(image: Image.Image, side: int, fit: str) -> np.ndarray:
    """Make an RGB picture a (side, side, 3) uint8 image.

    Args:
        fit: crop to the central square, pad with black to a square, or stretch.
    """
    size, lanczos = (side, side), Image.Resampling.LANCZOS
    if fit == "crop":
        image = ImageOps.fit(image, size, lanczos)
    elif fit == "pad":
        image = ImageOps.pad(image, size, lanczos)
    else:
        image = image.resize(size, lanczos)
    return np.asarray(image)


def fit_images(images: np.ndarray, side: int, fit: str) -> np.ndarray:
    """Fit (n, h, w, 3) uint8 images into squares; unchanged if they are of that size."""
    if images.shape[1:3] == (side, side):
        return images
    fitted = np.empty((len(images), side, side, images.shape[3]), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of Python's lock
        squares = pool.map(lambda image: fit_image(Image.fromarray(image), side, fit), images)
        for place, square in enumerate(squares):
            fitted[place] = square
    return fitted
