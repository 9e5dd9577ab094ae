"""Pictures of any size as the square images that the networks take."""

import math
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from pipeline.core.errors import UserError, and_more
from pipeline.core.files import project_root
from pipeline.core.records import CHANNELS, CHUNK
from pipeline.core.sections import DataParams

FORMATS = ("PNG", "JPEG", "WEBP")
# A large picture is first shrunk coarsely, to no less than this many times the wanted side.
DRAFT = 2
SHOWN = 3  # broken pictures that are named
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
            # A camera's JPEG may hold a second picture, like a preview; the first one counts.
            if image.format != "MPO" and getattr(image, "is_animated", False):
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
    except (MemoryError, UserError):
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error ...
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


def fit_images(images: np.ndarray, rows: np.ndarray, params: DataParams) -> np.ndarray:
    """Fit images into squares, in threads; return (n, side, side, 3) uint8 mapped from a file.

    So they may be larger than memory. The file has no name, and is gone when this process ends.

    Args:
        images: (m, height, width, 3) uint8, or (m,) the files of pictures.
        rows: which of them, (n,).

    Raises:
        UserError: pictures cannot be read.
    """
    side, count, broken = params.image_size, len(rows), []

    def square(picture: Path | np.ndarray) -> np.ndarray | UserError:
        if isinstance(picture, np.ndarray):
            return fit_image(Image.fromarray(picture), side, params.fit)
        try:
            return load_image(picture, side, params.fit)
        except UserError as error:
            return error

    scratch = project_root() / "data"
    scratch.mkdir(exist_ok=True)
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 (the map needs it)
    seconds = 0.2 if sys.stderr.isatty() else 10.0  # between two updates
    with (
        ThreadPoolExecutor() as pool,  # Pillow lets go of Python's lock
        tqdm(total=count, desc="pictures", unit="", mininterval=seconds) as bar,
    ):
        for start in range(0, count, CHUNK):
            for result in pool.map(square, images[rows[start : start + CHUNK]]):
                if isinstance(result, UserError):
                    broken.append(str(result))
                else:
                    file.write(result.data)
                bar.update()
    if broken:
        named = and_more(broken, shown=SHOWN, between="; ")
        raise UserError(
            f"data.path = {params.path}: {len(broken):,} of {count:,} pictures cannot be used: "
            f"{named}; repair them, or move them out of the folder"
        )
    file.flush()
    return np.memmap(file, np.uint8, "r", shape=(count, side, side, CHANNELS))
