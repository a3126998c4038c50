"""What a binary-latent VAE is, and how it is trained, as one record; loads no TensorFlow."""

from dataclasses import dataclass

from common.errors import InputError
from common.runs.identity import Record, added

SELECTIONS = ("best", "fitness", "uniform")  # of evolution.Evolution
MUTATIONS = ("floyd_flip", "flip", "sparse_flips", "crossover")


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
    mutation: str = "floyd_flip"
    epochs: int = 200
    batch_size: int = 32
    min_learning_rate: float = 1e-4
    max_learning_rate: float = 0.05  # grey values are not scaled: weights must grow far beyond 1
    half_cycle: int = 10  # epochs in which the learning rate rises
    gradient_states: int | None = added(16, before=None)  # of the states, the best ones, for the M-step; None: all

    def __post_init__(self):
        super().__post_init__()
        if self.gradient_states is not None and self.gradient_states >= self.states:
            object.__setattr__(self, "gradient_states", None)
        if self.min_learning_rate > self.max_learning_rate:
            rates = f"{self.min_learning_rate:g} is above --max-learning-rate {self.max_learning_rate:g}"
            raise InputError(f"--min-learning-rate {rates}: lower --min-learning-rate")

    def in_short(self, data_dim):
        """One cell of a table: H-hidden-D, states, parents/children/generations, selection, mutation, batch, rates."""
        shape = "-".join(map(str, [self.latent_dim, *self.hidden, data_dim]))
        evolution = f"{self.parents}/{self.children}/{self.generations} {self.selection} {self.mutation}"
        rates = f"{self.min_learning_rate:g}..{self.max_learning_rate:g}/{self.half_cycle}"
        leaky = " leaky" if self.leaky else ""
        few = f"({self.gradient_states})" if self.gradient_states else ""
        return f"{shape} S{self.states}{few} {evolution} b{self.batch_size} lr {rates}{leaky}"
