"""Pictures as cameras, scanners and scientific tools write them: read to floats in 0..255, and written back alike.

Pillow reads them, and tifffile what Pillow does not keep: TIFFs with more than 8 bits a channel.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.errors import InputError

WHITE = 255.0  # of `Picture.pixels`; black is 0
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners keep in 16
NEEDS = "use a PNG, JPEG or TIFF file"
ORIENTATION = 0x0112  # tag of EXIF and TIFF
TURNS = {  # that orientation to an upright picture
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x[::-1, ::-1], 0, 1),
    8: lambda x: np.rot90(x),
}


@dataclass(frozen=True)
class Picture:
    """A picture, and what it takes to write another one of its kind."""

    pixels: np.ndarray  # (H, W) grey or (H, W, 3), float32; 0 is black and 255 white
    alpha: np.ndarray | None  # (H, W) in the file's own numbers
    dtype: np.dtype  # of the file's numbers
    black: float  # the number in the file that stands for 0 ...
    white: float  # ... and for 255
    notes: tuple  # what was done in reading, in words


def read(path, value_range=None, depths=DEPTHS):
    """Read a picture upright.

    Args:
        path: of a PNG, JPEG, TIFF or any other file that Pillow knows.
        value_range: the file's numbers for black and white. None decides by their type and largest value, and says so
            in `notes`.
        depths: bits that whole numbers beyond bytes may have, of which the first is taken that holds the largest.

    Raises:
        InputError: missing, no picture, numbers that are none, or a range that must be told.
    """
    path, notes = Path(path), []
    try:
        array, alpha = _deep_tiff(path, notes) or _by_pillow(path, notes)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: name a picture") from None
    except Exception as error:  # Pillow and tifffile raise many kinds; all mean the same here
        reason = "it is no picture that is known" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(f"{path} cannot be read ({reason}): {NEEDS}") from error
    if not array.size:
        raise InputError(f"{path} has no pixels: {NEEDS}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise InputError(f"{path} has {int(bad.sum())} values that are NaN or infinite: fill them first")
    black, white = value_range or _range(path, array, notes, depths)
    if not np.isfinite([black, white]).all() or black == white:
        raise InputError(f"--range {black:g} {white:g}: give two different numbers, black and white")
    with np.errstate(over="ignore"):
        pixels = (array.astype(np.float64) - black) * (WHITE / (white - black))
        if not np.isfinite(pixels.astype(np.float32)).all():
            raise InputError(f"--range {black:g} {white:g} is too narrow for values up to {array.max():g}: widen it")
    return Picture(pixels.astype(np.float32), alpha, array.dtype, float(black), float(white), tuple(notes))


def _by_pillow(path, notes):
    """The file's own numbers (H, W) or (H, W, 3) in native byte order, and its alpha (H, W) or None."""
    # Of a path Pillow maps grey TIFFs into memory, and mixes up the rows of those that are stored turned.
    with open(path, "rb") as stream, Image.open(stream) as image:
        form = image.format
        if getattr(image, "n_frames", 1) > 1:
            notes.append(f"{path} holds {image.n_frames} pictures: the first one is taken")
        turned = image.getexif().get(ORIENTATION, 1) != 1
        image.load()  # turns TIFFs
        if turned:
            notes.append(f"{path} is stored turned: read upright")
            image = ImageOps.exif_transpose(image)
        mode = image.mode
        if mode in ("P", "PA"):
            notes.append(f"{path} has a palette: read as its colours")
            colours = image.convert("RGBA" if "transparency" in image.info or mode == "PA" else "RGB")
            rgb = np.asarray(colours)[..., :3]
            if (rgb == rgb[..., :1]).all():
                colours = colours.convert("LA" if colours.mode == "RGBA" else "L")
            image = colours
        elif mode in ("1", "L", "RGB") and "transparency" in image.info:  # a colour that stands for nothing
            image = image.convert("RGBA" if mode == "RGB" else "LA")
        elif mode.startswith("I") and "transparency" in image.info:
            raise ValueError("16 bits with a transparent colour: flatten it on its paper")
        elif mode == "1":
            image = image.convert("L")
        elif mode not in ("L", "LA", "RGB", "RGBA") and not mode.startswith(("I", "F")):
            notes.append(f"{path} is {mode}: read as RGB")
            image = image.convert("RGBA" if mode in ("RGBa", "La") else "RGB")
        if form == "PNG" and mode in ("LA", "RGB", "RGBA") and _png_bits(path) == 16:
            notes.append(f"{path} has 16 bits a channel: read with 8")
        array = np.asarray(image)
    return _split_alpha(array.astype(array.dtype.newbyteorder("=")))


def _png_bits(path):
    """Bits a channel, from the header's 25th byte."""
    with open(path, "rb") as stream:
        return stream.read(25)[24]


def _split_alpha(array):
    if array.ndim == 2:
        return array, None
    if array.shape[2] in (2, 4):
        array, alpha = array[..., :-1], array[..., -1]
    else:
        alpha = None
    return (array[..., 0] if array.shape[2] == 1 else array), alpha


def _deep_tiff(path, notes):
    """As `_by_pillow`, of a TIFF with more than 8 bits a channel, or with signed ones; None for any other file."""
    with open(path, "rb") as stream:
        if stream.read(2) not in (b"II", b"MM"):
            return None
    import tifffile
    from tifffile import PHOTOMETRIC, SAMPLEFORMAT

    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError:
        return None  # Pillow says what it is
    with file:
        page = file.pages[0]
        if page.bitspersample <= 8 and page.sampleformat != SAMPLEFORMAT.INT:
            return None
        if page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB):
            raise ValueError(f"{page.bitspersample} bits of {page.photometric.name}: convert it to RGB or grey")
        try:
            array = page.asarray()
        except ValueError:  # compressed by a codec that tifffile lacks
            return None
        if len(file.pages) > 1:
            notes.append(f"{path} holds {len(file.pages)} pictures: the first one is taken")
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        if page.photometric == PHOTOMETRIC.MINISWHITE and np.issubdtype(array.dtype, np.unsignedinteger):
            array = np.iinfo(array.dtype).max - array
        turn = page.tags.get(ORIENTATION)
        if turn is not None and turn.value in TURNS:
            notes.append(f"{path} is stored turned: read upright")
            array = TURNS[turn.value](array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
        raise ValueError(f"its {page.samplesperpixel} channels are neither grey nor RGB")
    return _split_alpha(np.ascontiguousarray(array))


def _range(path, array, notes, depths):
    """The numbers that stand for black and white, by type and largest value."""
    low, high = array.min(), array.max()
    if array.dtype == np.uint8:
        return 0, 255
    remedy = f"{path} has values from {low:g} to {high:g}: give the numbers of black and white with --range"
    if low >= 0 and np.issubdtype(array.dtype, np.integer):
        bits = next((bits for bits in depths if high < 2**bits), None)
        if bits is None:
            raise InputError(remedy)
        found = 0, 2**bits - 1
    elif low >= 0 and high <= 1:
        found = 0, 1
    elif low >= 0 and 64 <= high <= 255:  # a darker picture could be of any scale
        found = 0, 255
    else:
        raise InputError(remedy)
    notes.append(f"{path} has values from {low:g} to {high:g}: black is taken to be {found[0]}, white {found[1]}")
    return found


def as_stored(pixels, like):
    """Pixels in 0..255 as the numbers of `like`'s file, with its alpha: rounded and clipped where those are whole.

    What lay beyond black or white in that file is kept.
    """
    values = np.asarray(pixels, np.float64) * ((like.white - like.black) / WHITE) + like.black
    if np.issubdtype(like.dtype, np.integer):
        holds = np.iinfo(like.dtype)
        ends = np.array([0, WHITE, like.pixels.min(), like.pixels.max()], np.float64)
        ends = ends * ((like.white - like.black) / WHITE) + like.black
        values = np.clip(np.round(values), max(np.round(ends.min()), holds.min), min(np.round(ends.max()), holds.max))
    values = values.astype(like.dtype)
    if like.alpha is None:
        return values
    channels = values[..., None] if values.ndim == 2 else values
    return np.concatenate([channels, like.alpha[..., None].astype(like.dtype)], -1)


def ending(like):
    """The ending of a file that can keep pictures like this: .png, or .tif where its numbers do not fit into PNG."""
    deep_grey = like.dtype == np.uint16 and like.pixels.ndim == 2 and like.alpha is None
    return ".png" if like.dtype == np.uint8 or deep_grey else ".tif"


def check_form(path, form, like):
    """Raise InputError where a file of an ending cannot keep a picture like this."""
    if form.lower() not in {ending(like), ".tif", ".tiff"}:
        raise InputError(f"{path}: a picture of {like.dtype} values like this is written as {ending(like)}")


def write(path, pixels, like, form=None):
    """Write pixels (H, W[, 3]) in 0..255 as a picture of the same depth, range and alpha as `like`.

    Args:
        path: of the file; where it is a temporary one, `form` is the ending that it stands for.

    Raises:
        InputError: a file of that ending cannot keep such pictures.
    """
    form, array = (form or Path(path).suffix).lower(), as_stored(pixels, like)
    check_form(path, form, like)
    if form != ".png":
        import tifffile

        kind = "rgb" if like.pixels.ndim == 3 else "minisblack"
        extra = {} if like.alpha is None else {"extrasamples": ["unassalpha"]}
        tifffile.imwrite(path, array, photometric=kind, **extra)
    else:
        Image.fromarray(array).save(path, format="PNG")
