"""Compressors without a model, beside which 10 stands: each packs a test part as one stream."""

import functools
import io
import lzma
import math
import time
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.data.fingerprints import fingerprint
from common.errors import InputError
from common.hypervae.baselines import context_length, encoded
from common.hypervae.runs import load_data
from common.runs import storage
from common.runs.identity import Record

NO_MODEL = "none"


@dataclass(frozen=True)
class Rival(Record):
    """A row of a compressor that has no model: which, and of what data."""

    method: str
    fingerprint: str


def _picture(x):
    """All images as one picture: as many in a row as rows, the rest of the last row empty."""
    number, height, width, _ = x.shape
    columns = math.ceil(math.sqrt(number))
    rows = -(-number // columns)
    padded = np.pad(x[..., 0].astype(bool), ((0, rows * columns - number), (0, 0), (0, 0)))
    return padded.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _picture_pixels(raw):
    return np.asarray(Image.open(io.BytesIO(raw)).convert("L")) > 127


LARGEST_WEBP = {"lossless": True, "quality": 100, "method": 6}
LARGEST_XZ = 9 | lzma.PRESET_EXTREME
# {method: (images (N, H, W, 1) in {0, 1} to what is packed, to bytes, and back to what was packed)}
RIVALS = {
    "png": (
        _picture,
        lambda picture: encoded(Image.fromarray(picture), "PNG", optimize=True),
        _picture_pixels,
    ),
    "webp": (
        _picture,
        lambda picture: encoded(Image.fromarray(picture).convert("RGB"), "WEBP", **LARGEST_WEBP),
        _picture_pixels,
    ),
    "zlib": (lambda x: np.packbits(x), lambda bits: zlib.compress(bits.tobytes(), 9), zlib.decompress),
    "xz": (
        lambda x: np.packbits(x),
        lambda bits: lzma.compress(bits.tobytes(), preset=LARGEST_XZ),
        lzma.decompress,
    ),
}
CONTEXT = "context"  # its length is computed, no file of it is written


def rival_rows(args, name):
    """Rows of the compressors without a model, each on all images of a test part in one stream."""
    data = load_data(args, name)
    x, rows = data.x_test, []
    for method in (*RIVALS, CONTEXT):
        record = Rival(method, fingerprint(x))
        path = args.results_dir / "checkpoints" / "compression" / f"{method}-{record.digest}.json"
        row = {"run": record, "dataset": data.name, "model": NO_MODEL, "mode": method, "told": "nothing"}
        row |= {"num_images": len(x), "parameters": 0, "trained_at": ""}
        rows.append(row | storage.made_once(path, functools.partial(_by_rival, method, x)))
    return rows


def _by_rival(method, x):
    """Bytes, seconds and commit of one compressor; what it packed is compared with what comes out."""
    if method == CONTEXT:
        bits = context_length(x) / math.log(2)
        found = {"bytes": math.ceil(bits / 8), "computed_bits_per_pixel": bits / x.size}
    else:
        prepare, pack, unpack = RIVALS[method]
        content, started = prepare(x), time.perf_counter()
        raw = pack(content)
        half = time.perf_counter()
        if bytes(unpack(raw)) != content.tobytes():
            raise InputError(f"{method} does not give back what it packed: install the pinned packages")
        found = {"pack_seconds": half - started, "unpack_seconds": time.perf_counter() - half, "bytes": len(raw)}
    return found | {"bits_per_pixel": 8 * found["bytes"] / x.size, "evaluated_at": storage.commit()}
