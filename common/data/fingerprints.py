"""What data are, whatever they are called."""

import hashlib

import numpy as np

from common.errors import InputError


def fingerprint(*arrays):
    """Twelve hex digits that stand for arrays: their types, shapes and values."""
    sha = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:12]


def check_unchanged(what, found, planned):
    """End on data that a job reads anew and that are not those with which it was planned.

    Args:
        what: the data's name; found, planned: fingerprints.

    Raises:
        InputError: they differ.
    """
    if found != planned:
        raise InputError(f"{what} has changed since this command began: start it again")
