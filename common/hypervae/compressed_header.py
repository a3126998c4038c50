"""The header of a file of compressed images (.hvz): by which model they were packed, in which way, and how many."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from common.hypervae import code_stack, compression, listed_tasks

MAGIC, VERSION = b"\x89HVZ", 1
BLOCK_IMAGES = 2_000  # at most
LONGEST_NAME = 255  # bytes
BINARIZATIONS = ("none", "bernoulli", "threshold")
# Whose VAE codes an image: the model's own (a plain VAE), that of a listed task, or that of its block's own u.
OWN, LISTED, BY_BLOCK = range(3)
_FIXED = struct.Struct("<4sB")
_HEADER = struct.Struct("<BBBBB32sHHI")
GET_AGAIN = "it is damaged: get it again, or pack the images again"


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        name: of the model, as people call it ("mnist hypervae"); digest: 32 bytes, exact.ExactModel's.
        image_shape: (H, W, 1); binarization: one of BINARIZATIONS, what was done to the images before.
        weights: OWN, LISTED or BY_BLOCK; is_set: the order within a group is not kept; labelled: groups are labels.
        sizes: images of each group; one group where the order of all is kept.
        codes, shares: of listed tasks, (K, d) and (K,).
    """

    name: str
    digest: bytes
    image_shape: tuple
    binarization: str
    weights: int
    is_set: bool
    labelled: bool
    sizes: tuple
    codes: np.ndarray | None = None
    shares: np.ndarray | None = None
    precision: int = code_stack.PRECISION

    @property
    def num_images(self):
        return sum(self.sizes)

    def labels(self):
        """The group of each image, (N,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def blocks(self):
        """Slices of images, groups one after another: blocks of at most BLOCK_IMAGES, each of one group."""
        found, start = [], 0
        for size in self.sizes:
            number = -(-size // BLOCK_IMAGES)
            for part in range(number):  # the first ones are the longer ones
                length = size // number + (part < size % number)
                found.append(slice(start, start + length))
                start += length
        return found

    def packed(self):
        """The bytes of the header, its checksum last."""
        data, _, kind = self.name.rpartition(" ")  # which a long name must not lose
        kind = f" {kind}".encode()
        name = data.encode(errors="replace")[: LONGEST_NAME - len(kind)].decode(errors="ignore").encode() + kind
        flags = self.weights | self.is_set << 2 | self.labelled << 3
        how = (flags, BINARIZATIONS.index(self.binarization), self.precision, len(name), 0)
        if self.weights == LISTED:
            how = (*how[:4], len(self.codes))
        raw = _FIXED.pack(MAGIC, VERSION)
        raw += _HEADER.pack(*how, self.digest, *self.image_shape[:2], len(self.sizes)) + name
        raw += np.array(self.sizes, "<u4").tobytes()
        if self.weights == LISTED:
            raw += np.uint8(self.codes.shape[1]).tobytes()
            raw += (self.codes * 2.0**listed_tasks.LISTED_BITS).astype(np.int8).tobytes()
            raw += (self.shares % (1 << compression.SHARE_BITS)).astype("<u2").tobytes()
        return raw + struct.pack("<I", zlib.crc32(raw))


def read_header(raw, path):
    """The Header of a file's bytes, and where its blocks begin.

    Raises:
        InputError: no such file of ours, another version, damaged.
    """
    if raw[: len(MAGIC)] != MAGIC or len(raw) < _FIXED.size:
        raise InputError(f"{path} is no .hvz file: give one that this script packed")
    if raw[len(MAGIC)] != VERSION:
        raise InputError(f"{path} has format {raw[len(MAGIC)]}, this version reads {VERSION}: get the version for it")
    try:
        header, end = _read_header(raw)
        good = zlib.crc32(raw[:end]) == struct.unpack_from("<I", raw, end)[0]
    except (struct.error, ValueError, IndexError):
        good = False
    if not good:
        raise InputError(f"{path}: {GET_AGAIN}")
    if header.precision != code_stack.PRECISION:
        raise InputError(f"{path} has codes of {header.precision} bits, this version reads {code_stack.PRECISION}")
    return header, end + 4


def _read_header(raw):
    *how, digest, height, width, num_groups = _HEADER.unpack_from(raw, _FIXED.size)
    flags, binarization, precision, name_length, num_listed = how
    if flags & 3 not in (OWN, LISTED, BY_BLOCK) or (flags & 3 == LISTED) != (num_listed > 0) or not height * width:
        raise ValueError("no such file")
    end = _FIXED.size + _HEADER.size

    def take(count, kind):
        nonlocal end
        array = np.frombuffer(raw, kind, count, end)
        end += array.nbytes
        return array

    name = take(name_length, np.uint8).tobytes().decode()
    sizes = tuple(map(int, take(num_groups, "<u4")))
    if not sum(sizes):
        raise ValueError("no images")
    codes = shares = None
    if num_listed:
        dimensions = int(take(1, np.uint8)[0])
        codes = take(num_listed * dimensions, np.int8).reshape(num_listed, dimensions) * 2.0**-listed_tasks.LISTED_BITS
        shares = take(num_listed, "<u2").astype(int)
        shares[shares == 0] = 1 << compression.SHARE_BITS  # of one task
    header = Header(
        name,
        digest,
        (height, width, 1),
        BINARIZATIONS[binarization],
        flags & 3,
        bool(flags & 4),
        bool(flags & 8),
        sizes,
        codes,
        shares,
        precision,
    )
    return header, end
