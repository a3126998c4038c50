"""The sets that a mixture is made of (section 4.4): normal images, and those that outliers are drawn from."""

import argparse
import dataclasses
from dataclasses import dataclass

import numpy as np

from common.data import datasets
from common.data.fingerprints import fingerprint
from common.data.readers import check_size, in_channels_of
from common.errors import InputError
from common.hypervae.runs import load_data
from common.hypervae.task_sources import with_tasks

IMAGE_SETS = ("mnist", "fashion_mnist", "omniglot")
EVALUATION_SEED = 1
FEWEST_VALIDATION = 10  # images that a density of states can be fitted to
# {--outlier: what becomes of the normal set's own test images (N, H, W, channels)}
CHANGES = {
    "flip_horizontal": lambda x: x[:, :, ::-1],
    "flip_vertical": lambda x: x[:, ::-1],
    "rotated": lambda x: np.rot90(x, axes=(1, 2)),
}
HELD_OUT_CLASS = "held_out_class"  # --outlier: each class in turn is left out of the normal set
WITHOUT = "-without-"  # in the name of such a normal set


@dataclass(frozen=True)
class OutlierSet:
    """Test images that outliers are drawn from; `fingerprint` is that of the whole data set."""

    name: str
    fingerprint: str
    x: np.ndarray

    def drawn(self, number, seed):
        """`number` of the images, or all if there are fewer, the same for every model of a seed."""
        return self.x[np.random.default_rng([EVALUATION_SEED, seed]).permutation(len(self.x))[:number]]


def load_normal(args, name):
    """A normal set: the data set of a name or path, or some of its classes."""
    data = load_data(args, name)
    if args.normal_classes is None:
        return data
    some = datasets.restrict(data, args.normal_classes)
    if args.outlier == [HELD_OUT_CLASS]:
        (left,) = set(range(data.num_classes)) - set(args.normal_classes)
        return dataclasses.replace(some, name=f"{data.name}{WITHOUT}{left}")
    return some


def load_normal_with_tasks(args, name):
    """As `load_normal`, with the tasks that --tasks asks for."""
    return with_tasks(args, load_normal(args, name))


def outlier_names(args, normal):
    """Names or paths of the outlier sets of one normal set; [None] stands for its own other classes."""
    given = [name for wanted in args.outlier for name in (IMAGE_SETS if wanted == "all" else [wanted])]
    return [name for name in dict.fromkeys(given) if name != normal] or [None]


def changed_images(data, name):
    """An OutlierSet: a normal set's own test images, changed as one of CHANGES says (a quarter turn is to the left).

    Raises:
        InputError: a quarter turn of images that are not square.
    """
    if name == "rotated" and data.image_shape[0] != data.image_shape[1]:
        size = f"{data.image_shape[0]}x{data.image_shape[1]}"
        raise InputError(f"images of {data.name} are {size}, a quarter turn needs square ones: leave rotated out")
    x = np.ascontiguousarray(CHANGES[name](data.x_test))
    return OutlierSet(name, fingerprint(x), x)


def every_class_held_out(args):
    """The options of the mixtures asked for; --outlier held_out_class becomes ones in which each class in turn is out.

    Raises:
        InputError: --normal-classes beside it, or a set of one class.
    """
    if HELD_OUT_CLASS not in args.outlier:
        return [args]
    if args.normal_classes is not None:
        raise InputError(f"--outlier {HELD_OUT_CLASS} leaves out every class in turn: leave --normal-classes out")
    beside = [name for name in args.outlier if name != HELD_OUT_CLASS]
    found = [_changed(args, outlier=beside)] if beside else []
    for name in args.dataset:
        classes = range(load_data(args, name).num_classes)
        if len(classes) < 2:
            raise InputError(f"{name} has one class only: --outlier {HELD_OUT_CLASS} needs two")
        for held_out in classes:
            others = [c for c in classes if c != held_out]
            found.append(_changed(args, dataset=[name], outlier=[HELD_OUT_CLASS], normal_classes=others))
    return found


def _changed(args, **changes):
    return argparse.Namespace(**vars(args) | changes)


def mixture_parts(args, normal, load=load_normal_with_tasks):
    """The normal Dataset, as `load` gives it, its OutlierSets, and how many outliers are wanted.

    Raises:
        InputError: nothing to draw from, the normal data again, images of another size, or too few of either.
    """
    whole, data = load_data(args, normal), load(args, normal)
    found = [_outlier_set(args, name, normal, whole, data) for name in outlier_names(args, normal)]
    found = list({outlier.fingerprint: outlier for outlier in found}.values())  # two names of the same images are one
    wanted = round(min(args.outlier_fraction * len(data.x_test), 1e9))  # which no set has
    _check_images(data, found, wanted)
    return data, found, wanted


def _outlier_set(args, name, normal, whole, data):
    """The OutlierSet of one of `outlier_names`.

    Args:
        normal: name or path of the normal set; whole: its Dataset with all classes; data: that with the normal ones.
    """
    if name in CHANGES:
        return changed_images(data, name)
    if name not in (None, HELD_OUT_CLASS):
        other = load_data(args, name)
        if other.fingerprint() == whole.fingerprint():
            raise InputError(f"{name} holds the same images as {normal}: give another set to --outlier")
        return OutlierSet(other.name, other.fingerprint(), in_channels_of(data.image_shape, other.x_test))
    if args.normal_classes is None:
        raise InputError("no outliers: give --outlier another set, or --normal-classes to hold out the other classes")
    left = sorted(set(range(whole.num_classes)) - set(args.normal_classes))
    if not left:
        raise InputError("--normal-classes names every class: leave some out, or give --outlier another set")
    other = datasets.restrict(whole, left)
    return OutlierSet(name or f"{whole.name}-others", other.fingerprint(), other.x_test)


def _check_images(data, outlier_sets, wanted):
    """Refuse a normal Dataset or OutlierSets of too few images, and outliers of another size."""
    if len(data.x_validation) < FEWEST_VALIDATION:
        few = f"{data.name} has {len(data.x_validation)} validation images (a tenth of its training images)"
        raise InputError(f"{few}, scores need {FEWEST_VALIDATION}: give more images")
    for outlier in outlier_sets:
        check_size(f"images of {outlier.name} and {data.name}", outlier.x.shape[1:], data.image_shape)
        enough = outlier.name == HELD_OUT_CLASS or len(outlier.x) >= wanted  # a class gives what it has
        if not enough or wanted < 1:
            raise InputError(
                f"{outlier.name} has {len(outlier.x)} test images, {wanted} outliers are wanted: "
                "change --outlier-fraction"
            )
