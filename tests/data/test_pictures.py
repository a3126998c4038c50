"""Pictures of any depth, byte order, orientation and alpha: read to the values that were written, and written back."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from common.data import pictures
from common.errors import InputError

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], -1)
ALPHA = np.array([[0, 10, 255], [255, 128, 1]], np.uint8)


def save(folder, array, name="a.png", **options):
    Image.fromarray(array).save(folder / name, **options)
    return folder / name


def tiff(folder, array, **options):
    tifffile.imwrite(folder / "a.tif", array, **options)
    return folder / "a.tif"


@pytest.mark.parametrize(
    ("write", "expected", "note"),
    [
        (lambda f: save(f, GREY), GREY, ""),
        (lambda f: save(f, COLOUR), COLOUR, ""),
        (lambda f: save(f, GREY > 100), 255.0 * (GREY > 100), ""),
        (lambda f: save(f, GREY.astype(np.uint16) * 257), GREY, "white 65535"),
        (lambda f: save(f, GREY.astype(np.uint16) * 16), GREY * (16 * 255 / 4095), "white 4095"),
        (lambda f: tiff(f, GREY.astype(">u2") * 257, byteorder=">"), GREY, "white 65535"),
        (lambda f: tiff(f, (GREY / 255).astype(np.float32)), GREY, "white 1"),
        (lambda f: tiff(f, GREY.astype(np.float64)), GREY, "white 255"),
        (lambda f: tiff(f, COLOUR.astype(np.uint16) * 257, photometric="rgb"), COLOUR, "white 65535"),
        (lambda f: tiff(f, (COLOUR / 255).astype(np.float32), photometric="rgb"), COLOUR, "white 1"),
        (lambda f: tiff(f, 255 - GREY, photometric="miniswhite"), GREY, ""),
    ],
)
def test_forms_of_one_picture_read_alike(tmp_path, write, expected, note):
    found = pictures.read(write(tmp_path))
    np.testing.assert_allclose(found.pixels, expected, atol=1e-3)
    assert found.alpha is None and note in " ".join(found.notes) and bool(note) == bool(found.notes)


def test_palettes_and_cmyk_are_their_colours(tmp_path):
    Image.fromarray(COLOUR).quantize(6).save(tmp_path / "p.png")
    Image.fromarray(GREY).convert("P").save(tmp_path / "g.png")
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.tif")
    found = pictures.read(tmp_path / "p.png")
    np.testing.assert_allclose(found.pixels, COLOUR, atol=1)
    assert "palette" in found.notes[0]
    np.testing.assert_array_equal(pictures.read(tmp_path / "g.png").pixels, GREY)
    deep = np.dstack([COLOUR, ALPHA]).astype(np.uint16) * 257
    with pytest.raises(InputError, match="16 bits of SEPARATED: convert it to RGB or grey"):
        pictures.read(tiff(tmp_path, deep, photometric="separated"))
    np.testing.assert_allclose(pictures.read(tmp_path / "c.tif").pixels, COLOUR, atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_orientation_is_undone_as_pillow_does(tmp_path, orientation):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    path = save(tmp_path, COLOUR, exif=exif)
    deep = tiff(tmp_path, COLOUR.astype(np.uint16) * 257, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    upright = pictures.read(path).pixels
    assert upright.shape == ((2, 3, 3) if orientation < 5 else (3, 2, 3))
    np.testing.assert_allclose(pictures.read(deep).pixels, upright, atol=1e-3)
    assert any("upright" in note for note in pictures.read(path).notes) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_grey_tiffs_that_are_stored_turned_are_read_upright(tmp_path, orientation):
    """Their shape is that of the turned picture; numpy turns them here."""
    grey = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, grey, photometric="minisblack", extratags=[(274, 3, 1, orientation, True)])
    found = pictures.read(path)
    upright = pictures.TURNS[orientation](grey) if orientation > 1 else grey
    np.testing.assert_array_equal(found.pixels, upright)
    assert any("upright" in note for note in found.notes) == (orientation > 1)


def test_a_colour_that_stands_for_nothing_is_transparent(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "l.png", transparency=int(GREY[0, 0]))
    Image.fromarray(COLOUR).save(tmp_path / "rgb.png", transparency=tuple(map(int, COLOUR[0, 0])))
    for name, array, key in (
        ("l.png", GREY, GREY == GREY[0, 0]),
        ("rgb.png", COLOUR, (COLOUR == COLOUR[0, 0]).all(-1)),
    ):
        found = pictures.read(tmp_path / name)
        np.testing.assert_array_equal(found.pixels, array)
        np.testing.assert_array_equal(found.alpha == 0, key)


def test_values_beyond_the_range_that_is_told_are_written_as_they_were(tmp_path):
    found = pictures.read(save(tmp_path, COLOUR), (50, 100))
    np.testing.assert_array_equal(pictures.as_stored(found.pixels, found), COLOUR)
    with pytest.raises(InputError, match="too narrow"):
        pictures.read(save(tmp_path, COLOUR), (0, 1e-40))


def test_signed_bytes_are_no_unsigned_ones(tmp_path):
    signed = np.array([[-1, 5], [100, 127]], np.int8)
    tifffile.imwrite(tmp_path / "s.tif", signed, photometric="minisblack")
    with pytest.raises(InputError, match="values from -1 to 127"):
        pictures.read(tmp_path / "s.tif")


def test_alpha_and_depth_come_back_as_they_were(tmp_path):
    forms = {
        "la.png": np.dstack([GREY, ALPHA]),
        "rgba.png": np.dstack([COLOUR, ALPHA]),
        "deep.png": GREY.astype(np.uint16) * 257,
        "deep.tif": np.dstack([COLOUR, ALPHA]).astype(np.uint16) * 257,
        "float.tif": (GREY / 255).astype(np.float32),
    }
    for name, array in forms.items():
        path = tmp_path / name
        if name.endswith(".png"):
            Image.fromarray(array).save(path)
        else:
            tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
        found = pictures.read(path)
        again = tmp_path / f"again_{name}"
        pictures.write(again, found.pixels, found)
        read = np.asarray(Image.open(again)) if name.endswith(".png") else tifffile.imread(again)
        assert read.dtype == array.dtype and pictures.ending(found) == path.suffix, name
        np.testing.assert_allclose(read, array, atol=1e-6)
        with pytest.raises(InputError, match="is written as"):
            pictures.write(tmp_path / "x.jpg", found.pixels, found)


def test_a_range_that_cannot_be_known_is_asked_for(tmp_path):
    path = tiff(tmp_path, (GREY / 10).astype(np.float32))  # 0 to 25.5: of what?
    with pytest.raises(InputError, match="values from 0 to 25.5.*--range"):
        pictures.read(path)
    np.testing.assert_allclose(pictures.read(path, (0, 25.5)).pixels, GREY, rtol=1e-6)
    with pytest.raises(InputError, match="--range"):
        pictures.read(tiff(tmp_path, GREY.astype(np.float32) - 128))
    for no_range in ((0, 0), (np.nan, 1), (0, np.inf)):
        with pytest.raises(InputError, match="two different numbers"):
            pictures.read(path, no_range)


@pytest.mark.parametrize("ends", [(0, 300), (-10, 255), (300, 0)])
def test_a_range_beyond_the_files_type_wraps_nothing(tmp_path, ends):
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    found = pictures.read(tmp_path / "grey.png", ends)
    written = pictures.as_stored(found.pixels + np.linspace(-99, 99, GREY.size).reshape(GREY.shape), found)
    expected = GREY + np.linspace(-99, 99, GREY.size).reshape(GREY.shape) * (ends[1] - ends[0]) / 255
    np.testing.assert_allclose(written, np.clip(expected, max(0, min(ends)), min(255, max(ends))), atol=0.51)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        (b"", "no picture that is known"),
        (b"II*\0 nothing", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "no picture|cannot be read"),
    ],
)
def test_what_is_no_picture_says_so(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        pictures.read(path)
    assert "\n" not in str(caught.value)


def test_pixels_that_are_no_numbers_are_counted(tmp_path):
    with pytest.raises(InputError, match="has 1 values that are NaN"):
        pictures.read(tiff(tmp_path, np.array([[0, np.nan], [1, 0.5]], np.float32)))


shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
unit = st.floats(0, 1, width=32)
grey = shapes.flatmap(lambda s: arrays(np.uint8, s) | arrays(np.uint16, s) | arrays(np.float32, s, elements=unit))


@settings(max_examples=60)
@given(grey)
def test_any_grey_tiff_reads_as_tifffile_reads_it_or_is_refused(tmp_path, array):
    path = tiff(tmp_path, array)
    found = pictures.read(path)
    raw = tifffile.imread(path).reshape(array.shape).astype(float)
    np.testing.assert_allclose(found.pixels, (raw - found.black) * 255 / (found.white - found.black), atol=1e-4)
    np.testing.assert_allclose(pictures.as_stored(found.pixels, found), array, atol=1e-6)


@settings(max_examples=100)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@given(st.integers(0, 300), st.integers(0, 255), st.sampled_from(["a.png", "a.tif", "a.jpg"]))
def test_a_damaged_file_is_read_or_refused(tmp_path, position, value, name):
    Image.fromarray(COLOUR).save(tmp_path / name)
    raw = bytearray((tmp_path / name).read_bytes())
    raw[position % len(raw)] = value
    (tmp_path / name).write_bytes(raw)
    try:
        found = pictures.read(tmp_path / name)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(found.pixels).all() and found.pixels.min() >= 0 and found.pixels.max() <= 255
