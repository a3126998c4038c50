"""By which model images are packed, and what a test part takes: rows of 10's table, and of its blocks.

Every length is measured on a file that was decoded again. Beside it stands the length that the project computes with
TensorFlow, by other draws of z and u: -ELBO, of which a set's free order is taken off.
"""

import itertools
import math
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import gammaln

from common.data import readers
from common.data.datasets import Dataset, binarize_each
from common.errors import InputError
from common.hypervae import compressed_files, compressed_header, compression, density, exact, listed_tasks, pretrained
from common.hypervae.compressed_header import BY_BLOCK, LISTED
from common.hypervae.options import chosen_models
from common.hypervae.runs import load_data, refuse_unfollowed, settings_for, trained
from common.hypervae.task_mixture import Coder, TaskMixture
from common.layers.kernels import dense_theta
from common.runs import results, storage
from common.runs.identity import Record

# How a test part is packed: {model: {mode: (grouping of compressed_files.plan, what is told of images)}}
MODES = {
    "vae": {"ordered": ("order", "nothing")},
    "hypervae": {
        "unlabelled": ("order", "nothing"),
        "labelled_groups": ("groups", "its label is known to the receiver"),
        "labelled_sets": ("sets", "its label is known to the receiver; the order within a label is not kept"),
    },
}
COLUMNS = ["dataset", "model", "mode", "told", "seed", "num_images", "bytes", "bits_per_pixel"]
COLUMNS += ["computed_bits_per_pixel", "pack_seconds", "unpack_seconds", "pack_cpu_seconds", "unpack_cpu_seconds"]
COLUMNS += ["initial_bits", "num_tasks", "parameters", "iterations"]
BLOCK_COLUMNS = ["dataset", "model", "mode", "block", "seed", "num_images", "bits", "computed_bits"]
ORDER = ["dataset", "model", "mode", "seed"]


@dataclass(frozen=True)
class Compression(Record):
    """What a row is: a training, how its model packs the test part, and how the computed length is estimated."""

    training: Record
    mode: str
    format: int = compressed_header.VERSION
    block_images: int = compressed_header.BLOCK_IMAGES
    candidates: int = listed_tasks.CANDIDATES
    growth: int = compression.GROWTH
    first_words: int = compression.Hyper.first_words
    num_samples: int = 8
    evaluation_seed: int = 1


def model_of(args, name, kind, seed=0, data=None):
    """The VAE or HyperVAE that packs: a PackedModel of the repository's, or one trained as the options say.

    Args:
        args: the script's options; name: of the data set; kind: "vae" or "hypervae".
        data: its Dataset where that is read already; else it is read where the repository has no such model.

    Raises:
        InputError: as of training.
    """
    check_packs(kind)
    known = data or pretrained.stand_in(name, kind) or load_data(args, name)
    kinds = {kind, *chosen_models(args, MODES)}
    runs = {own: settings_for(args, known, own, args.recipe[0], seed) for own in kinds}
    refuse_unfollowed(args, runs.values())
    packed = pretrained.packed_model(runs[kind])
    if packed:
        return packed
    data = known if isinstance(known, Dataset) else load_data(args, name)
    return trained(args, settings_for(args, data, kind, args.recipe[0], seed), data)


def check_packs(*kinds):
    """Raise InputError where one of the models, or of "all", packs no images."""
    for kind in kinds:
        if kind not in (*MODES, "all"):
            raise InputError(f"no images are packed by {kind}: choose --model vae or hypervae")


def model_for(args, header=None):
    """What --dataset and --model name, or a file's header, and the exact model of it.

    Raises:
        InputError: nothing is named; as `model_of`.
    """
    name, kind = (args.dataset or [None])[0], args.model[0]
    if header is not None:
        given = header.name.rpartition(" ")
        name, kind = name or given[0], given[2] if kind == "all" else kind
    elif name is None:
        raise InputError("give --dataset, what the model is trained on: mnist, fashion_mnist, omniglot, or your own")
    kind = "hypervae" if kind == "all" else kind
    return f"{name} {kind}", exact.exact(model_of(args, name, kind, args.seeds[0]).model)


def read_images(path, size, binarization):
    """Images (N, H, W, 1) in {0, 1} of a file or folder, and labels or None.

    Args:
        size: (H, W) that a folder's pictures are brought to; binarization: one of compressed_header.BINARIZATIONS.

    Raises:
        InputError: as readers.perhaps_labelled; grey levels that nothing is said of.
    """
    x, y = readers.perhaps_labelled(path, size, exact=binarization == "none")
    if binarization == "none" and not np.isin(x, (0, 255)).all():
        raise InputError(f"{path} has grey levels, and binary images are coded: give --binarize threshold or bernoulli")
    return binarize_each(x, "threshold" if binarization == "none" else binarization), y


def measured(job):
    """Pack one test part in one way, decode it, compute its length; its row and the rows of its blocks.

    Args:
        job: (options, the data set's name or path, model, mode, seed).
    """
    args, name, kind, mode, seed = job
    data = load_data(args, name)
    own = model_of(args, name, kind, seed, data)
    record = Compression(own.settings, mode)

    def made():
        x, y = data.x_test, data.y_test
        model = exact.exact(own.model)
        started, cpu = time.perf_counter(), time.process_time()
        header, order = compressed_files.plan(model, f"{name} {kind}", x, y, MODES[kind][mode][0])
        packed = compressed_files.pack(model, x, header, order)
        half, half_cpu = time.perf_counter(), time.process_time()
        found, header = compressed_files.unpack(model, packed.raw, "the file")
        row = {"pack_seconds": half - started, "unpack_seconds": time.perf_counter() - half}
        row |= {"pack_cpu_seconds": half_cpu - cpu, "unpack_cpu_seconds": time.process_time() - half_cpu}
        if not compressed_files.same_images(header, found, x, y):
            raise InputError(f"{name}: the file does not decode to what was packed")
        nats = computed_nats(own.model, header, x[order], record.num_samples, record.evaluation_seed)
        overhead = len(packed.raw) - sum(packed.block_bytes)
        row |= {"num_images": len(x), "bytes": len(packed.raw), "initial_bits": packed.initial_bits}
        row |= {"bits_per_pixel": 8 * len(packed.raw) / x.size}
        row |= {"computed_bits_per_pixel": (sum(nats) / math.log(2) + 8 * overhead) / x.size}
        row |= {"num_tasks": len(header.sizes) if header.codes is None else len(header.codes)}
        row |= {"parameters": own.model.count_params(), "evaluated_at": storage.commit()}
        blocks = [
            {"block": number, "num_images": block.stop - block.start, "bits": 8 * size, "computed_bits": value}
            for number, (block, size, value) in enumerate(
                zip(header.blocks(), packed.block_bytes, np.array(nats) / math.log(2))
            )
        ]
        return {"row": row, "blocks": blocks}

    folder = own.settings.folder(args.results_dir / "checkpoints")
    found = storage.made_once(folder / f"compression-{record.digest}.json", made)
    cells = {"run": record, "dataset": data.name, "model": kind, "mode": mode, "told": MODES[kind][mode][1]}
    cells |= {"seed": own.settings.seed, "iterations": own.settings.iterations, "trained_at": own.trained_at}
    commit = {"evaluated_at": found["row"]["evaluated_at"]}
    return cells | found["row"], [cells | block | commit for block in found["blocks"]]


def computed_nats(model, header, x, num_samples=8, seed=1):
    """-ELBO of each block, nats, by TensorFlow and other draws than the file's; what a set's order is worth is off.

    Args:
        model: the Keras model; header: of the file; x: images as they stand in it.
        num_samples: draws of z an image.
    """
    coder, found = Coder(model.body), []
    noise = coder.noise(len(x), seed, num_samples)
    if header.weights == LISTED:
        theta = model.generate(tf.cast(header.codes, tf.float32))
        mixture = TaskMixture(theta, header.shares, coder)
        nats = mixture.mixed(mixture.code_lengths(x, seed, num_samples))
        return [float(nats[block].sum()) for block in header.blocks()]
    for number, block in enumerate(header.blocks()):
        own, kl_u = x[block], 0.0
        if header.weights == BY_BLOCK:
            q_u = model.infer_u(tf.cast(own[None], tf.float32))
            theta = dense_theta(model.generate(q_u.sample(seed=tf.constant([seed, number]))))
            kl_u = float(density.kl_to_prior(q_u)[0])
        else:
            theta = model.own_theta()
        nats = coder.code_lengths(theta, 1, own, noise[:, block]).sum() + kl_u
        found.append(float(nats - (order_nats(own) if header.is_set else 0)))
    return found


def order_nats(x):
    """ln of the number of orders that images (N, H, W, 1) can stand in, equal ones being alike."""
    _, counts = np.unique(compression.packed_rows(x), axis=0, return_counts=True)
    return float(gammaln(len(x) + 1) - gammaln(counts + 1).sum())


def jobs(args):
    """Jobs of `measured`: each data set, seed, model of --model and mode.

    Raises:
        InputError: a model that packs nothing.
    """
    check_packs(*args.model)
    kinds = [kind for kind in MODES if kind in chosen_models(args, MODES)]
    found = [(kind, mode) for kind in kinds for mode in MODES[kind]]
    return [(args, name, *how, seed) for name, seed, how in itertools.product(args.dataset, args.seeds, found)]


def write_rows(rows, blocks, folder):
    """Add rows to table.csv and those of their blocks to blocks.csv; returns the runs' digests."""
    results.put_rows(folder / "table.csv", rows, COLUMNS, order=ORDER)
    if blocks:
        results.put_rows(folder / "blocks.csv", blocks, BLOCK_COLUMNS, ["block"], [*ORDER, "block"])
    for row in rows:
        line = "{dataset} {model} {mode}: {bytes:,} bytes, {bits_per_pixel:.4f} bits a pixel"
        print(line.format(**row), flush=True)
    return [row["run"].digest for row in rows]
