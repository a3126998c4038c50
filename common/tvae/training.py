"""How a binary-latent VAE is trained: exact resume, and what is measured on the way."""

import time

from common.errors import InputError
from common.runs.storage import commit, exclusive

SETTLED = 0.02  # of the bound's whole rise, in one cycle
REMEDY = "lower --max-learning-rate"  # where a training diverges


def build(recipe, shape, seed, variance):
    """An untrained BinaryVAE for data of `shape` (N, D) with the noise variance to begin with.

    Raises:
        InputError: there are not as many states, or parents, or bits, as the recipe asks for.
    """
    from common.runs.jobs import limit_threads
    from common.tvae.evolution import Evolution
    from common.tvae.model import BinaryVAE

    limit_threads(1)  # small matrices: a second thread costs more than it brings
    try:
        evolution = Evolution(recipe.parents, recipe.children, recipe.generations, recipe.selection, recipe.mutation)
        sizes = (*shape, recipe.latent_dim, recipe.hidden, recipe.states)
        options = dict(leaky=recipe.leaky, gradient_states=recipe.gradient_states, seed=seed)
        return BinaryVAE(*sizes, evolution, variance=variance, **options)
    except ValueError as error:
        raise InputError(f"{error}: change --states, --parents, --children or --latent-dim") from error


def time_estimate(first, total):
    """A Keras callback that says once how long the epochs from `first` to `total` will take.

    It says so after the second epoch: much of the first one is compilation.
    """
    import keras
    from tqdm import tqdm

    class TimeEstimate(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 - first == 2:
                took = time.perf_counter() - self.started
                left = took * (total - epoch - 1)
                words = f"{left / 60:.1f} minutes" if left >= 60 else f"{left:.0f} s"
                tqdm.write(f"an epoch takes {took:.2g} s: about {words} to go")

    return TimeEstimate()


def still_rising(rows, recipe):
    """A warning in words where a training's bound F had not settled, or None.

    F is compared at the ends of the learning-rate cycles, where estimates are best. It has settled where the last cycle
    raised it by less than SETTLED of its whole rise since the first one.

    Args:
        rows: of `train`'s progress.
    """
    cycle = 2 * recipe.half_cycle
    bounds = [row["free_energy"] for row in rows if row["epoch"] % cycle == 0]
    if len(bounds) < 3:
        return (
            f"{recipe.epochs} epochs are too few to tell whether it has converged: take {3 * cycle} --epochs at least"
        )
    last, whole = bounds[-1] - bounds[-2], bounds[-1] - bounds[0]
    if last <= SETTLED * max(whole, 0):
        return None
    return (
        f"not converged: the last {cycle} epochs raised the bound by {last:.2g} nats a patch, "
        f"{last / max(whole, last):.0%} of its whole rise: more --epochs (or --minutes) would restore the image better"
    )


def train(run, data, variance, checkpoints=None, measure=lambda model: {}, mask=None, begin=None, seed=None):
    """Train the model of one run, go on with it, or load it; a process that finds another one at it waits.

    Args:
        run: the Record, with `recipe` and `seed`.
        data: (N, D) floats; mask: (N, D), 1 where they are observed.
        variance: of the noise, to begin with.
        checkpoints: the folder in which the run has its own; None writes no file.
        measure: measure(model) gives further values of a row; there is a row at each half cycle and at the end.
        seed: of the model (the run's).
        begin: begin(model) gives a new model the state of an earlier training, whose progress it returns.

    Returns:
        model, and progress: rows (epoch, seconds, free_energy, learned_sigma, evaluated_at ...), seconds, trained_at.

    Raises:
        InputError: impossible settings, a damaged checkpoint, a folder that cannot be written, diverged training.
    """
    from common.runs.checkpoints import Checkpoint, resume

    recipe = run.recipe
    model = build(recipe, data.shape, run.seed if seed is None else seed, variance)
    options = dict(mask=mask, batch_size=recipe.batch_size, half_cycle=recipe.half_cycle, verbose=0)
    options["learning_rate"] = (recipe.min_learning_rate, recipe.max_learning_rate)
    model.fit(data, 0, **options)  # makes the optimizer, whose state is loaded too

    def row(model, epoch, logs):
        if epoch % (2 * recipe.half_cycle) == 0 and 2 * epoch > recipe.epochs:
            model.average_in()  # in the second half, where estimates are best
        if epoch % recipe.half_cycle and epoch != recipe.epochs:
            return None
        learned = {"free_energy": float(logs["free_energy"]), "learned_sigma": model.sigma}
        return learned | {"evaluated_at": commit()} | measure(model)

    def begun(progress):
        if progress["epoch"] == 0 and begin is not None:
            before = begin(model)
            commits = "+".join((before["trained_at"], progress["trained_at"])).split("+")
            progress |= {"seconds": before["seconds"], "trained_at": "+".join(dict.fromkeys(commits))}
        return progress

    if checkpoints is None:
        progress = begun({"epoch": 0, "seconds": 0.0, "rows": [], "trained_at": commit()})
        progress["rows"] += _train_in_memory(model, data, recipe.epochs, row, options)
        return model, progress
    folder = run.folder(checkpoints)
    with exclusive(folder):
        progress = begun(resume(folder, run, model))
        if progress["epoch"] < recipe.epochs:
            shown = ("learned_sigma", "psnr")
            callback = Checkpoint(folder, progress, recipe.epochs, recipe.half_cycle, row, "free_energy", REMEDY, shown)
            estimate = time_estimate(progress["epoch"], recipe.epochs)
            model.fit(data, recipe.epochs, initial_epoch=progress["epoch"], callbacks=[callback, estimate], **options)
    return model, progress


def _train_in_memory(model, data, epochs, row, options):
    """Train without a checkpoint; returns the rows of progress: row(model, epochs done, logs) where it gives one."""
    from keras.callbacks import LambdaCallback

    from common.runs.checkpoints import check_loss

    rows = []

    def keep(epoch, logs):
        check_loss(logs["free_energy"], epoch + 1, REMEDY)
        found = row(model, epoch + 1, logs)
        rows.extend([] if found is None else [{"epoch": epoch + 1, **found}])

    model.fit(data, epochs, callbacks=[LambdaCallback(on_epoch_end=keep)], **options)
    return rows
