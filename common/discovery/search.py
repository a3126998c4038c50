"""Novelty discovery (sections 3.5 and 4.5): search for the design, among all that a model can decode, nearest to a
target.

Designs and their points (u, z) are those of `families.Family`; a plain VAE is one too, so every method is written once.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.discovery.bayesopt import BayesianOptimizer
from common.discovery.distances import cosine_distance

CARRIED_OVER = 5  # codes of the best designs so far with which an outer step begins
RESTARTED = 12  # codes of earlier searches with which a search through `realise` begins


class SearchResult(NamedTuple):
    """The record of one search, in the order of its evaluations."""

    distance: np.ndarray  # (evaluations,) cosine distance of each design to the target
    step: np.ndarray  # (evaluations,) the outer step of each
    seconds: np.ndarray  # (evaluations,) to choose and to evaluate each
    designs: list  # the best design (H, W, 1) so far at the end of each step
    codes: list  # (u, z) of each design


class TargetSearch:
    """Every method's search for one target, at equal numbers of designs evaluated (but with the budget "per-step").

    Args:
        families: {"vae": Family, "hypervae": Family}.
        target: (H, W, 1) in [0, 1].
        settings: SearchSettings.
        folder: where each search keeps its history, and goes on from it.
        realise: what a decoded design (H, W, 1) really is, e.g. the diagram of the alloy that it would be; the target
            is compared with that. None: the design itself.
        scale: (H, W, 1) or what broadcasts to it; designs and target are multiplied by it before they are compared.
    """

    def __init__(self, families, target, settings, folder, realise=None, scale=1.0):
        self.families, self.target = families, np.asarray(target, np.float64)
        self.settings, self.folder = settings, Path(folder)
        self.realise, self.scale = realise or (lambda design: design), scale
        self._slow = realise is not None

    def distance(self, designs):
        """The objective: cosine distance of designs (..., H, W, 1) to the target, both scaled."""
        return cosine_distance(designs * self.scale, self.target * self.scale)

    def run(self, method):
        """Run, or finish, the search of one of METHODS; returns its SearchResult."""
        return METHODS[method](self, method)

    def explore(self, methods):
        """The searches of some METHODS: rows, one an evaluation, and {method: {"designs": of its steps,
        "distances": theirs}}.
        """
        rows, designs = [], {}
        for method in methods:
            found = self.run(method)
            best = np.minimum.accumulate(found.distance)
            ends = np.append(np.flatnonzero(np.diff(found.step)), len(best) - 1)  # of the steps
            designs[method] = {"designs": found.designs, "distances": best[ends].tolist()}
            for number, values in enumerate(zip(found.step, found.distance, best, found.seconds), 1):
                step, distance, least, seconds = map(float, values)
                row = {"method": method, "evaluation": number, "step": int(step), "cosine_distance": distance}
                rows.append(row | {"best_so_far": least, "seconds": seconds})
        return rows, designs

    def by_gradients(self, num_starts=10):
        """{"vae", "hypervae_once", "hypervae_joint": the least distance that gradients find in that method's space}.

        These searches know the target, so one of their starts is its own encoding.
        """
        found = {}
        rng = np.random.default_rng(self.settings.seed)
        for method, member in (("vae", "vae"), ("hypervae_once", "hypervae")):
            family = self.families[member]
            u = family.first_u
            draws = rng.standard_normal((num_starts - 1, family.z_dim))
            starts = [(u, z) for z in (family.encode(u, self.target), *draws)]
            found[method] = family.descend(self.target, starts, u_is_free=False, scale=self.scale)
        draws = family.draw_u(rng, num_starts - 2)
        starts = [(u, family.encode(u, self.target)) for u in (family.infer_u(self.target), family.first_u, *draws)]
        found["hypervae_joint"] = family.descend(self.target, starts, u_is_free=True, scale=self.scale)
        return found

    def iterated(self, method, members):
        """Eq. 10: each outer step takes theta from the best design so far and searches z; `members` names each step's
        family.

        A step begins with that design encoded under its own theta and with the best codes found before, so what the
        last step found is not thrown away as theta shifts. One step is plain BO over z, with theta of `first_u`. Many
        of a VAE, whose theta stays as it is, say what beginning anew is worth by itself.
        """
        progress = _Progress()
        for step, (member, budget) in enumerate(zip(members, self._shares(len(members)))):
            family = self.families[member]
            u = family.infer_u(progress.design) if step else family.first_u
            earlier = [found for found, whose in zip(progress.steps, members) if whose == member]
            if step == 0:
                first = family.first_z(u, self.settings.seed, budget)
            else:
                first = family.encode(u, progress.design)[None]
            if earlier:
                z, y = np.concatenate([found.x for found in earlier]), np.concatenate([found.y for found in earlier])
                first = np.concatenate([first, z[np.argsort(y, kind="stable")[:CARRIED_OVER]]])
            progress.add(*self._optimize(f"{method}-{step}", family, budget, first, u))
        return progress.result()

    def joint(self, method):
        """BO over (u, z), in the whole space at once where it begins with known tasks: their codes come first.

        Where it does not, a sixth of the evaluations goes to the slice u = 0, the prior's mean. In it, of half as
        many dimensions, a good design is found soon; its points are also the first data of the whole space.
        """
        progress, family = _Progress(), self.families["hypervae"]
        evaluations = self.settings.evaluations
        if family.starts is not None:
            first = family.first_codes()[:evaluations]
            progress.add(*self._optimize(f"{method}-0", family, evaluations, first))
            return progress.result()
        budget, u = -(-evaluations // 6), np.zeros(family.u_dim)
        first = family.first_z(u, self.settings.seed, budget)
        in_slice, *rest = self._optimize(f"{method}-0", family, budget, first, u)
        progress.add(in_slice, *rest)
        known = (np.concatenate([np.tile(u, (budget, 1)), in_slice.x], 1), in_slice.y)
        progress.add(*self._optimize(f"{method}-1", family, evaluations - budget, (), known=known))
        return progress.result()

    def refined(self, method, member, results):
        """BO over all codes of a family that begins with RESTARTED of its other searches' best, judged anew by
        `realise`.

        Args:
            member: which family.
            results: SearchResults; of each as many codes are taken. Codes of the other family are left aside.
        """
        progress, family = _Progress(), self.families[member]
        orders = [np.argsort(result.distance, kind="stable") for result in results]
        # The best of each search, the second best of each, ...
        ranked = itertools.product(range(RESTARTED // len(results)), zip(results, orders))
        best = [result.codes[order[rank]] for rank, (result, order) in ranked if rank < len(order)]
        first = dict.fromkeys(tuple(np.concatenate(code)) for code in best if len(code[0]) == family.u_dim)
        first, evaluations = np.array(list(first)), self.settings.evaluations
        progress.add(*self._optimize(f"{method}-0", family, evaluations, first[:evaluations]))
        return progress.result()

    def random(self, method, member):
        """Control: z uniform in the box, theta of `first_u`."""
        progress, family = _Progress(), self.families[member]
        shape = (self.settings.evaluations, family.z_dim)
        z = np.random.default_rng(self.settings.seed).uniform(*family.z_box.T, shape)
        progress.add(*self._optimize(f"{method}-0", family, len(z), z, family.first_u))
        return progress.result()

    def _shares(self, steps):
        """Evaluations of each outer step."""
        evaluations = self.settings.evaluations
        if self.settings.budget == "total":
            return np.diff(np.linspace(0, evaluations, steps + 1).round().astype(int)).tolist()
        return [evaluations] * steps

    def _optimize(self, name, family, budget, first, u=None, known=None):
        """BO over z at one u, or over (u, z); returns the finished optimizer, what decodes its points, and their codes.

        It minimises the logarithm of the distance: the last gains, of a few percent of it, then look as large to the
        model as the first.
        """
        box = family.z_box if u is not None else np.concatenate([family.u_box, family.z_box])

        def code(point):
            return tuple(np.split(point, [family.u_dim])) if u is None else (u, point)

        def decode(point):
            u, z = code(point)
            return self.realise(family.decode(u[None], z[None])[0])

        optimizer = BayesianOptimizer(
            box,
            self.settings.seed,
            self.settings.acquisition,
            num_initial=0,
            first=first,
            known=known,
            trust_region=True,
            history=self.folder / f"{name}.json",
        )

        def objective(point):
            return np.log(max(self.distance(decode(point)), 1e-9))

        optimizer.run(objective, budget, name if self._slow else "")
        return optimizer, decode, [code(point) for point in optimizer.x]


class _Progress:
    """What the steps of a search have found: the best design so far, and every step's optimizer."""

    def __init__(self):
        self.design, self.least, self.steps, self.designs, self.codes = None, np.inf, [], [], []

    def add(self, found, decode, codes):
        point, value = found.best
        if value < self.least:
            self.design, self.least = decode(point), value
        self.steps.append(found)
        self.designs.append(self.design)
        self.codes += codes

    def result(self):
        steps = np.repeat(np.arange(len(self.steps)), [len(found.y) for found in self.steps])
        y, seconds = (np.concatenate([getattr(found, part) for found in self.steps]) for part in ("y", "seconds"))
        return SearchResult(np.exp(y), steps, seconds, self.designs, self.codes)


METHODS = {
    "vae": lambda search, name: search.iterated(name, ["vae"]),
    "vae_restarts": lambda search, name: search.iterated(name, ["vae"] * search.settings.steps),
    "hypervae_once": lambda search, name: search.iterated(name, ["hypervae"]),
    "hypervae_iterated": lambda search, name: search.iterated(name, ["hypervae"] * search.settings.steps),
    "hypervae_iterated_vae_init": lambda search, name: search.iterated(
        name, ["vae"] + ["hypervae"] * (search.settings.steps - 1)
    ),
    "hypervae_joint": lambda search, name: search.joint(name),
    "random_vae": lambda search, name: search.random(name, "vae"),
    "random_hypervae": lambda search, name: search.random(name, "hypervae"),
}
