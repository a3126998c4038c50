"""Rules that make one score an image out of what a model and compressors say of it (section 4.4 and beyond).

Every score is in nats, larger = more outlying, and needs normal images only. What a rule is fitted to, or judged by,
is a table of held-out normal images: no model was trained on them.
"""

from functools import cached_property

import numpy as np
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from common.hypervae.baselines import COMPRESSORS
from common.hypervae.outlier_records import COMBINED, HEADLINE, TASK_MIXTURE

FEWEST_TO_CHOOSE = 10  # images by which a number of Gaussians is chosen
FOLDS = 5
NUMBERS_OF_GAUSSIANS = (1, 2, 4, 8)  # that are tried
DECIMALS = 6  # of nats: finer, an image and itself among others may differ by rounding, and so in rank
TAIL = 0.95  # quantile of normal scores from which on their tail is taken to be exponential
OF_NEIGHBOURS = "local_outlier_factor"
# Chosen by the AUC of each alone on the paper's pairs, before any combination was scored: two densities that see
# lengths and codes, a length that no common pattern shortens, and the pixels' neighbours.
INGREDIENTS = ("density_of_states", HEADLINE, "complexity_adjusted", OF_NEIGHBOURS)


class Formula:
    """A score that is computed from an image's own numbers: nothing is fitted.

    Args:
        of: function from a table, a row an image, to scores (N,).
        held_out: table of held-out normal images.
    """

    def __init__(self, of, held_out):
        self._of, self._held_out = of, held_out

    def __call__(self, table):
        return np.asarray(self._of(table), np.float64)

    @cached_property
    def held_out(self):
        """Scores of the held-out normal images, (n,)."""
        return self(self._held_out)


class DensityOfStates:
    """-log density of normal images' numbers (Morningstar et al. 2021): too easy images are caught as too hard ones.

    Args:
        normal: table of numbers of held-out normal images.
        seed: of the mixture's start. The number of Gaussians is chosen by the likelihood of held-out normal images; of
            very few images it is one.
    """

    def __init__(self, normal, seed=0):
        self._columns, self._normal = list(normal.columns), normal.to_numpy()
        self._folds = KFold(FOLDS, shuffle=True, random_state=seed)  # images may come class by class
        mixture = make_pipeline(StandardScaler(), GaussianMixture(reg_covar=1e-4, n_init=2, random_state=seed))
        with threadpool_limits(1):  # products this small: two threads wait for each other, up to 30 times as long
            if len(normal) < FEWEST_TO_CHOOSE:
                self._fitted = mixture.fit(self._normal)
                return
            numbers = {"gaussianmixture__n_components": NUMBERS_OF_GAUSSIANS}
            search = GridSearchCV(mixture, numbers, cv=self._folds)
            self._fitted = search.fit(self._normal).best_estimator_

    def __call__(self, table):
        return -self._fitted.score_samples(table[self._columns].to_numpy())

    @cached_property
    def held_out(self):
        """Scores of the held-out normal images, (n,), each by a density that was fitted without it.

        Of fewer than FEWEST_TO_CHOOSE images by the density of them all: too little is left without one.
        """
        if len(self._normal) < FEWEST_TO_CHOOSE:
            return -self._fitted.score_samples(self._normal)
        scores = np.empty(len(self._normal))
        with threadpool_limits(1):
            for rest, own in self._folds.split(self._normal):
                scores[own] = -clone(self._fitted).fit(self._normal[rest]).score_samples(self._normal[own])
        return scores


def tail_share(normal, scores):
    """Share of normal images that score at least so high, (1 + how many) / (1 + n), (N,); normal: sorted, (n,)."""
    at_least = len(normal) - np.searchsorted(normal, scores, side="left")
    return (1 + at_least) / (1 + len(normal))


def surprise(normal, scores):
    """-log of the share of normal images that score at least so high, nats, (N,).

    Beyond the TAIL quantile of the normal scores (n,) the share falls exponentially, by their mean excess there: so it
    goes on where there are none.
    """
    normal, scores = np.sort(np.round(normal, DECIMALS)), np.round(scores, DECIMALS)
    start = np.quantile(normal, TAIL)
    excess = (
        (normal[normal > start] - start).mean() if normal[-1] > start else 1.0
    )  # scores that are all alike have none
    beyond = (scores - start) / excess - np.log(1 - TAIL)
    return np.where(scores > start, beyond, -np.log(tail_share(normal, scores)))


class Combined:
    """Fisher's sum of the surprises of several rules (Fisher 1925): one clear sign is enough, several weak ones add up.

    Args:
        ingredients: rules, each with `held_out` scores of the same images, which its surprise is measured by.
    """

    def __init__(self, ingredients):
        self._ingredients = list(ingredients)

    def __call__(self, table):
        return sum(surprise(rule.held_out, rule(table)) for rule in self._ingredients)

    @cached_property
    def held_out(self):
        """Scores of the held-out normal images, (n,)."""
        return sum(surprise(rule.held_out, rule.held_out) for rule in self._ingredients)


def combined_rules(validation, seed=0):
    """The rule that combines INGREDIENTS, as `rules` gives its own, and what it is without each of them.

    Args:
        validation: as that of `rules`, with the column local_outlier_factor: that baseline's score.
    """
    found = _single_rules(validation.drop(columns=OF_NEIGHBOURS), seed)
    found |= {OF_NEIGHBOURS: Formula(lambda table: table[OF_NEIGHBOURS], validation)}
    ablated = {f"{COMBINED}_without_{out}": [name for name in INGREDIENTS if name != out] for out in INGREDIENTS}
    chosen = {COMBINED: INGREDIENTS} | ablated
    return {name: Combined(found[own] for own in names) for name, names in chosen.items()}


def own_rule(validation, seed=0):
    """The rule OWN_RULE, which needs no training images, as `combined_rules` has it; `validation`: as of `rules`."""
    found = _single_rules(validation, seed)
    return Combined(found[name] for name in INGREDIENTS if name != OF_NEIGHBOURS)


def _single_rules(validation, seed):
    """`rules`, and the one adjusted length that is combined with others, by its name without a compressor."""
    found = rules(validation, seed)
    return found | {"complexity_adjusted": found[f"complexity_adjusted_{_adjusts(validation)}"]}


def mixture_rules(validation):
    """As `rules`, of the length under a mixture of tasks, the column task_mixture; and less the compressed length."""
    own = _adjusts(validation)
    formulas = {TASK_MIXTURE: lambda table: table[TASK_MIXTURE]}
    formulas |= {f"{TASK_MIXTURE}_adjusted_{own}": lambda table: table[TASK_MIXTURE] - table[own]}
    return {name: Formula(of, validation) for name, of in formulas.items()}


def _adjusts(table):
    """The compressor that an adjusted length is taken by where one is chosen: the best known of such images."""
    return "context" if "context" in table else "webp"


def rules(validation, seed=0):
    """The usual scores of VAE or HyperVAE.

    Args:
        validation: table of `outliers.image_statistics` and `baselines.compressed_lengths`, of held-out normal images.
        seed: of the densities' fits.

    Returns:
        {score: rule}; a rule is a function from a table with the same columns to scores (N,), and `rule.held_out` are
        those of the validation's images, which thresholds are taken from.
    """

    def length(table):
        return table["reconstruction"] + table["kl_z"]

    # HyperVAE's regret is one of the numbers. Alone it is no score: on four pairs of six normal images had more of it.
    numbers = [name for name in validation if not name.startswith("code_")]
    formulas = {"description_length": length, "kl": lambda table: table["kl_z"]}
    for compressor in COMPRESSORS:
        if compressor in validation:
            formulas[f"complexity_adjusted_{compressor}"] = lambda table, own=compressor: length(table) - table[own]
    if "kl_u" in validation:
        formulas["description_length_with_u"] = lambda table: length(table) + table["kl_u"]
    return {name: Formula(of, validation) for name, of in formulas.items()} | {
        "density_of_states": DensityOfStates(validation[numbers], seed),
        # The codes too, since single numbers cannot say where in code space an image lies.
        HEADLINE: DensityOfStates(validation, seed),
    }
