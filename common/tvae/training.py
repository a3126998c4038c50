"""How a binary-latent VAE is trained: its settings, exact resume, and what is measured on the way."""

from dataclasses import dataclass

from common.errors import InputError
from common.runs.identity import Record
from common.runs.storage import commit, exclusive


@dataclass(frozen=True)
class Recipe(Record):
    """The model, its evolutionary step and its training; the defaults are those of denoising."""

    latent_dim: int = 64
    hidden: tuple = (64,)  # units of the decoder's hidden layers
    leaky: bool = False
    states: int = 64  # kept for each data point
    parents: int = 5
    children: int = 4
    generations: int = 1
    selection: str = "best"
    mutation: str = "flip"
    epochs: int = 200
    batch_size: int = 32
    min_learning_rate: float = 1e-4
    max_learning_rate: float = 0.01
    half_cycle: int = 10  # epochs in which the learning rate rises

    def __post_init__(self):
        super().__post_init__()
        if self.min_learning_rate > self.max_learning_rate:
            rates = f"{self.min_learning_rate:g} is above --max-learning-rate {self.max_learning_rate:g}"
            raise InputError(f"--min-learning-rate {rates}: lower --min-learning-rate")

    def in_short(self, data_dim):
        """One cell of a table: H-hidden-D, states, parents/children/generations, selection, mutation, batch, rates."""
        shape = "-".join(map(str, [self.latent_dim, *self.hidden, data_dim]))
        evolution = f"{self.parents}/{self.children}/{self.generations} {self.selection} {self.mutation}"
        rates = f"{self.min_learning_rate:g}..{self.max_learning_rate:g}/{self.half_cycle}"
        leaky = " leaky" if self.leaky else ""
        return f"{shape} S{self.states} {evolution} b{self.batch_size} lr {rates}{leaky}"


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
        return BinaryVAE(*sizes, evolution, variance=variance, leaky=recipe.leaky, seed=seed)
    except ValueError as error:
        raise InputError(f"{error}: change --states, --parents, --children or --latent-dim") from error


def train(run, data, variance, checkpoints, measure=lambda model: {}, mask=None, begin=None):
    """Train the model of one run, go on with it, or load it; a process that finds another one at it waits.

    Args:
        run: the Record, with `recipe` and `seed`.
        data: (N, D) floats; mask: (N, D), 1 where they are observed.
        variance: of the noise, to begin with.
        measure: measure(model) gives further values of a row; there is a row at each half cycle and at the end.
        begin: begin(model) gives a new model the state of an earlier training, whose progress it returns.

    Returns:
        model, and progress: rows (epoch, seconds, free_energy, learned_sigma, evaluated_at ...), seconds, trained_at.

    Raises:
        InputError: impossible settings, a damaged checkpoint, a folder that cannot be written, diverged training.
    """
    from common.runs.checkpoints import Checkpoint, resume

    recipe = run.recipe
    model = build(recipe, data.shape, run.seed, variance)
    options = dict(mask=mask, batch_size=recipe.batch_size, half_cycle=recipe.half_cycle, verbose=0)
    options["learning_rate"] = (recipe.min_learning_rate, recipe.max_learning_rate)
    model.fit(data, 0, **options)  # makes the optimizer, whose state is loaded too

    def row(model, epoch, logs):
        if epoch % recipe.half_cycle and epoch != recipe.epochs:
            return None
        learned = {"free_energy": float(logs["free_energy"]), "learned_sigma": float(model.variance.numpy()) ** 0.5}
        return learned | {"evaluated_at": commit()} | measure(model)

    folder = run.folder(checkpoints)
    with exclusive(folder):
        progress = resume(folder, run, model)
        if progress["epoch"] == 0 and begin is not None:
            before = begin(model)
            commits = "+".join((before["trained_at"], progress["trained_at"])).split("+")
            progress |= {"seconds": before["seconds"], "trained_at": "+".join(dict.fromkeys(commits))}
        if progress["epoch"] < recipe.epochs:
            remedy, shown = "lower --max-learning-rate", ("learned_sigma", "psnr")
            callback = Checkpoint(folder, progress, recipe.epochs, recipe.half_cycle, row, "free_energy", remedy, shown)
            model.fit(data, recipe.epochs, initial_epoch=progress["epoch"], callbacks=[callback], **options)
    return model, progress
