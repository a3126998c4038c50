"""What data are, whatever they are called."""

import hashlib

import numpy as np


def fingerprint(*arrays):
    """Twelve hex digits that stand for arrays: their types, shapes and values."""
    sha = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:12]
