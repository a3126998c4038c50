"""Makes the committed files of this folder: a small HyperVAE, and images that it packed, to be read in a year, too.

python tests/hypervae/packed/make.py     from the top; only where the format's version has changed
"""

import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from hypervae import toy  # noqa: E402

from common.hypervae import compressed_files as files  # noqa: E402
from common.hypervae import exact, training  # noqa: E402

WAYS = {"listed": (None, "order"), "groups": (toy.bars().y, "groups"), "sets": (toy.bars().y, "sets")}


def train():
    """The small HyperVAE's weights."""
    toy.make_small(toy.SmallConvBody)
    settings = toy.settings(summary="mean", generator="layerwise", rank=3, iterations=1_500, learning_rate=5e-3)
    with tempfile.TemporaryDirectory() as folder:
        model = training.fit_or_load(settings, toy.bars(), Path(folder)).model
    weights = {name: value.astype(np.float16) for name, value in exact.exact(model).weights.items()}
    np.savez_compressed(FOLDER / "model.npz", **weights)


def main():
    if not (FOLDER / "model.npz").exists():
        train()
    with np.load(FOLDER / "model.npz", allow_pickle=False) as arrays:
        packer = exact.ExactModel(dict(arrays), toy.bars().image_shape)
    for name, (labels, grouping) in WAYS.items():
        header, order = files.plan(packer, "bars hypervae", toy.bars().x, labels, grouping)
        packed = files.pack(packer, toy.bars().x, header, order)
        (FOLDER / f"{name}.hvz").write_bytes(packed.raw)
        print(name, len(packed.raw), "bytes,", packed.initial_bits, "initial bits")


if __name__ == "__main__":
    main()
