"""Files of losslessly compressed binary images (.hvz); docs/compression.md has the format byte by byte.

After the header (compressed_header.py) follow blocks of images, each one a stack of `compression` with a checksum of
its own, so that it can be decoded alone.
"""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from common.data.readers import check_size
from common.errors import InputError
from common.hypervae import compression, listed_tasks
from common.hypervae.compressed_header import (
    BLOCK_IMAGES,
    BY_BLOCK,
    GET_AGAIN,
    LISTED,
    OWN,
    VERSION,
    Header,
    read_header,
)
from common.hypervae.compression import Hyper, Mixture

_BLOCK = struct.Struct("<IHI")


@dataclass(frozen=True)
class Packed:
    """A file's bytes, and what is known of it besides: `order` is which image of the input stands where in it."""

    raw: bytes
    header: Header
    order: np.ndarray
    block_bytes: tuple
    initial_bits: int


def plan(model, name, x, labels=None, grouping="order", binarization="none", seed=0):
    """The Header of images that are to be packed, and the order in which they will stand in the file.

    Args:
        model: an exact.ExactModel; x: images (N, H, W, 1) in {0, 1}.
        labels: (N,) whole numbers from 0 up, or None; of a grouping by "order" they are not used.
        grouping: "order" (kept), "groups" (of labels, or else of a HyperVAE's own finding; the order within one is
            kept), or "sets" (it is free).
        seed: of the search for tasks.

    Raises:
        InputError: images of another size than the model's.
    """
    check_size("images to pack and the model's", x.shape[1:], model.image_shape)
    codes = shares = None
    hyper = model.theta is None
    if hyper and (grouping == "order" or labels is None):
        codes, shares = listed_tasks.find_tasks(model, x, seed)
    groups = np.zeros(len(x), int)
    if grouping != "order":
        groups = labels if labels is not None else _nearest(model, codes, shares, x) if hyper else groups
    weights = OWN if not hyper else LISTED if grouping == "order" else BY_BLOCK
    sizes = tuple(np.bincount(groups).tolist())
    labelled = grouping != "order" and labels is not None
    kept = (codes, shares) if weights == LISTED else ()
    how = (name, model.digest, model.image_shape, binarization, weights, grouping == "sets", labelled, sizes, *kept)
    return Header(*how), np.argsort(groups, kind="stable")


def _nearest(model, codes, shares, x):
    """The listed task (N,) that codes each image shortest; tasks of none are left out."""
    posterior = listed_tasks.listed_tasks(model, codes, shares).posterior(x)
    best = posterior.tasks[np.arange(len(x)), posterior.weights.argmax(1)]
    return np.unique(best, return_inverse=True)[1]


def _coder(model, header):
    if header.weights == BY_BLOCK:
        return Hyper(model)
    if header.weights == LISTED:
        return listed_tasks.listed_tasks(model, header.codes, header.shares)
    return Mixture(model.vae, [model.theta])


def _has_weights(model, header):
    """Whether a model has weights of the header's kind: its own, or those of codes u of as many numbers."""
    if header.weights == OWN:
        return model.theta is not None
    listed = header.weights == LISTED
    return model.theta is None and (not listed or header.codes.shape[1] == model.hyper_latent_dim)


def _side_by_side(function, items, progress):
    """[function(item)] by a thread a core: NumPy's own would wait for each other in products this small."""
    with threadpool_limits(1), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        return list(progress(pool.map(function, items)))


def pack(model, x, header, order, progress=iter):
    """Packed images (N, H, W, 1) in {0, 1}.

    Args:
        header, order: of `plan`; progress: wraps what is done block by block, e.g. tqdm.

    Raises:
        InputError: images that cannot be coded.
    """
    coder, x = _coder(model, header), x[order]

    def of_block(block):
        words, initial = compression.pack_block(coder, x[block], header.is_set)
        return words.astype("<u4").tobytes(), initial

    blocks = _side_by_side(of_block, header.blocks(), progress)
    parts = [_block_head(number, *block) + block[0] for number, block in enumerate(blocks)]
    initial = 32 * sum(initial for _, initial in blocks)
    return Packed(b"".join([header.packed(), *parts]), header, order, tuple(map(len, parts)), initial)


def _block_head(number, payload, initial):
    return _BLOCK.pack(len(payload) // 4, initial, _checksum(number, payload, initial))


def _checksum(number, payload, initial):
    return zlib.crc32(payload, zlib.crc32(struct.pack("<IHI", len(payload), initial, number)))


def read_blocks(raw, header, start, path):
    """[(words (n,) uint32, how many of them were initial bits)] of a file's blocks, each checked.

    Raises:
        InputError: damaged, cut off, or longer than it should be.
    """
    found = []
    for number in range(len(header.blocks())):
        try:
            length, initial, checksum = _BLOCK.unpack_from(raw, start)
        except struct.error:
            raise InputError(f"{path} is cut off: get it again, or pack the images again") from None
        start += _BLOCK.size
        payload = raw[start : start + 4 * length]
        if len(payload) < 4 * length or _checksum(number, payload, initial) != checksum:
            what = "is cut off" if len(payload) < 4 * length else "is damaged"
            raise InputError(f"{path} {what} in block {number}: get it again, or pack the images again")
        start += len(payload)
        found.append((np.frombuffer(payload, "<u4").astype(np.uint32), initial))
    if start != len(raw):
        raise InputError(f"{path} has bytes after its last block: get it again, or pack the images again")
    return found


def unpack(model, raw, path, block=None, progress=iter):
    """The images (N, H, W, 1) uint8 in {0, 1} of a file's bytes, or those of one block, and the Header.

    Raises:
        InputError: damaged, or packed by another model; images that come out otherwise are not handed out.
    """
    header, start = read_header(raw, path)
    if header.digest != model.digest or header.image_shape != model.image_shape:
        theirs, ours = header.digest.hex()[:12], model.digest.hex()[:12]
        raise InputError(f"{path} was packed by model {theirs} ({header.name}), this is {ours}: give the same options")
    if not _has_weights(model, header):
        raise InputError(f"{path}: {GET_AGAIN}")
    blocks = list(zip(header.blocks(), read_blocks(raw, header, start, path)))
    if block is not None:
        if not block < len(blocks):
            raise InputError(f"{path} has blocks 0 to {len(blocks) - 1}: choose one of these")
        blocks = blocks[block : block + 1]
    coder = _coder(model, header)

    def of_block(block):
        images, (words, initial) = block
        return compression.unpack_block(coder, words, images.stop - images.start, initial, header.is_set)

    return np.concatenate(_side_by_side(of_block, blocks, progress)), header


def same_images(header, x, other, labels=None):
    """Whether images are those of a file (N, H, W, 1): in its order, or of each label the same, in whatever order.

    Args:
        x: as they stand in the file; other: in the order of the input; labels: of these, where the file has them.
    """
    if len(x) != len(other) or x.shape != other.shape:
        return False
    if header.labelled:
        if labels is None or not np.array_equal(np.bincount(labels, minlength=len(header.sizes)), header.sizes):
            return False
        other = other[np.argsort(labels, kind="stable")]
    elif len(header.sizes) > 1 or header.is_set:  # the file's groups are its own
        return np.array_equal(_sorted(x), _sorted(other))
    if not header.is_set:
        return np.array_equal(x, other)
    ends = np.cumsum(header.sizes)[:-1]
    return all(np.array_equal(_sorted(a), _sorted(b)) for a, b in zip(np.split(x, ends), np.split(other, ends)))


def _sorted(x):
    rows = compression.packed_rows(x)
    return rows[np.lexsort(rows.T)]


def description(raw, path):
    """What a file holds, {words: value}, without a model; its blocks' checksums are looked at.

    Raises:
        InputError: as `read_header` and `read_blocks`.
    """
    header, start = read_header(raw, path)
    blocks = read_blocks(raw, header, start, path)
    height, width, _ = header.image_shape
    weights = {OWN: "the model's own", LISTED: f"of {0 if header.codes is None else len(header.codes)} tasks listed"}
    order = "free within a group" if header.is_set else "kept" + " within a group" * (len(header.sizes) > 1)
    return {
        "format": VERSION,
        "model": f"{header.name}, sha256 {header.digest.hex()}",
        "images": f"{header.num_images:,} of {height} x {width}",
        "binarization": header.binarization,
        "order": order,
        "groups": f"{len(header.sizes)}{', one a label' if header.labelled else ''}",
        "weights": weights.get(header.weights, "of a u in each block"),
        "bytes": f"{len(raw):,}, of these {start:,} of the header",
        "bits a pixel": f"{8 * len(raw) / (header.num_images * height * width):.4f}",
        "blocks": f"{len(blocks)} of at most {BLOCK_IMAGES:,} images",
        "initial bits": f"{32 * sum(initial for _, initial in blocks):,}",
    }
