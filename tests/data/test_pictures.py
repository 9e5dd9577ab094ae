from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.data import pictures
from tests.conftest import checked


def load_image(file, side=32, fit="crop"):
    return pictures.load_image(file, side, fit)


RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(size=(32, 32), colour=RED, mode="RGB"):
    return Image.new("RGB", size, colour).convert(mode)


@pytest.mark.parametrize("size", [(32, 32), (500, 300), (7, 90), (1, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_any_size_becomes_32x32(tmp_path, size, name):
    picture(size).save(tmp_path / name)
    pixels = load_image(tmp_path / name)
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), RED, atol=3)


def test_32x32_pixels_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "a.png"), ("P", "a.png"), ("CMYK", "a.jpg"), ("1", "a.png")]
)
def test_other_colour_modes_are_converted(tmp_path, mode, name):
    picture(colour=(255, 255, 255), mode=mode).save(tmp_path / name)
    np.testing.assert_allclose(load_image(tmp_path / name), 255, atol=3)


def test_16_bit_grey_keeps_its_brightness(tmp_path):
    Image.fromarray(np.full((32, 32), 200 * 256, np.uint16)).save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == 200).all()


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[:16] = (*RED, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = load_image(tmp_path / "a.png")
    assert tuple(pixels[0, 0]) == RED
    assert tuple(pixels[31, 0]) == (255, 255, 255)


def test_exif_rotation_is_undone(tmp_path):
    halves = np.full((64, 64, 3), BLUE, np.uint8)
    halves[:32] = RED  # red on top
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: red on the right
    Image.fromarray(halves).save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = load_image(tmp_path / "a.jpg")
    assert pixels[16, 30, 0] > 150
    assert pixels[16, 1, 2] > 150


def test_a_wide_picture_keeps_its_middle(tmp_path):
    wide = np.full((10, 30, 3), BLUE, np.uint8)
    wide[:, 10:20] = RED
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png")[16, 2:30, 0].min() > 150


def test_a_wide_picture_is_padded_with_black_or_stretched(tmp_path):
    wide = np.full((10, 30, 3), BLUE, np.uint8)
    wide[:, 10:20] = RED
    Image.fromarray(wide).save(tmp_path / "a.png")
    padded = load_image(tmp_path / "a.png", 48, "pad")
    assert padded.shape == (48, 48, 3)
    assert (padded[:15] == 0).all() and (padded[-15:] == 0).all()
    assert tuple(padded[24, 24]) == RED and tuple(padded[24, 2]) == BLUE
    stretched = load_image(tmp_path / "a.png", 48, "stretch")
    assert all(tuple(stretched[y, 24]) == RED and tuple(stretched[y, 2]) == BLUE for y in (0, 47))


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_large_picture_looks_the_same_though_it_is_shrunk_first(tmp_path, name):
    """Against Pillow's resizing of the full size."""
    y, x = np.mgrid[:600, :600] / 600
    smooth = np.stack([x, y, x * y], axis=2) * 255
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / name, quality=95)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS), int)
    assert np.abs(load_image(tmp_path / name) - expected).max() <= 3


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_arrays_are_fitted_like_files_whatever_their_number(workspace, fit):
    """More of them than are fitted at a time, and not in their order."""
    images = np.random.default_rng(0).integers(0, 256, (150, 20, 28, 3), np.uint8)
    rows = np.arange(140, 0, -1)
    params = checked(**{"data.image_size": 16, "data.fit": fit}).data
    fitted = pictures.fit_images(images, rows, params)
    assert (fitted.shape, fitted.dtype) == ((140, 16, 16, 3), np.uint8)
    for place in (0, 127, 128, 139):
        Image.fromarray(images[rows[place]]).save("a.png")
        np.testing.assert_array_equal(fitted[place], load_image(Path("a.png"), 16, fit))


def save_animation(file):
    frames = [picture(colour=c) for c in (RED, BLUE)]
    frames[0].save(file, save_all=True, append_images=frames[1:])


def save_truncated(file):
    pixels = np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    file.write_bytes(file.read_bytes()[:-5000])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "a.png cannot be read .*No such file"),
        (lambda f: f.mkdir(), "cannot be read"),
        (lambda f: f.write_bytes(b""), "is not a PNG, JPEG or WebP image"),
        (lambda f: f.write_text("hello"), "is not a PNG, JPEG or WebP image"),
        (lambda f: picture().save(f, format="GIF"), "is not a PNG, JPEG or WebP image"),
        (save_animation, "is animated"),
        (save_truncated, "cannot be read"),
        (lambda f: picture().save(f, exif=b"II*\0"), "a.png cannot be read"),
    ],
)
def test_bad_files_get_one_clear_message(tmp_path, make, message):
    file = tmp_path / "a.png"
    make(file)
    with pytest.raises(UserError, match=message):
        load_image(file)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    picture((200, 200)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="has more than 1,000 pixels"):
        load_image(tmp_path / "a.png")


def test_of_a_photo_with_a_preview_the_first_picture_counts(tmp_path):
    main, preview = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    main.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    red, _, blue = load_image(tmp_path / "a.jpg").reshape(-1, 3).mean(axis=0)
    assert red > 200 and blue < 50
