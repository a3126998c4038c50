"""What the tables of new tasks need: which models are trained, and how each is measured.

A job is (options, Settings, the data set's name or path, ..., the records of its measurements).
"""

import itertools
from types import SimpleNamespace

from common.data.datasets import without
from common.errors import InputError
from common.hypervae import characters, found_tasks, told, unseen
from common.hypervae.density import ImportanceSampling
from common.hypervae.peers import ON_FOUND_TASKS, PEERS, TABLES, WIDE, peer_settings, sizes_of_hypervae
from common.hypervae.runs import refuse_unfollowed
from common.runs.jobs import run_jobs


def _peers(args, table):
    return [peer for peer in TABLES[table] if peer in PEERS and peer in (args.peer or TABLES[table])]


def _peers_on_found_tasks(args):
    return [peer for peer in ON_FOUND_TASKS if peer in (args.peer or ON_FOUND_TASKS)]


def _tasks_of(args, data, peer, recipe):
    """How the tasks of one of ON_FOUND_TASKS are found."""
    return found_tasks.asked_for(args, data, ON_FOUND_TASKS[peer][1] or args.clusters, recipe)


def trainings(args, data, table):
    """The Settings of every peer, recipe and seed that a table asks for, but for peers on found tasks."""
    for recipe, seed, peer in itertools.product(args.recipe, args.seeds, _peers(args, table)):
        yield peer_settings(args, data, peer, recipe, seed)
        if table == "generate" and peer == "hypervae":
            for rank in args.ranks:
                if rank != args.rank:
                    yield peer_settings(args, data, peer, recipe, seed, rank=rank)


def planned(args, loaded, tables):
    """{table: its jobs}, but for those of found tasks; what no job can follow ends here, before hours of training.

    Args:
        loaded: {name or path: Dataset} of --dataset.

    Raises:
        InputError: options of models that the tables have not, or that make two of their models one; a table without
            its data, its folds or any job.
    """
    jobs = {table: JOBS[table](args, loaded) for table in tables}
    first = next(iter(loaded.values()))
    own_data = {"characters": characters.load(args.data_dir, args.body)} if "characters" in tables else {}
    _check_models(args, dict.fromkeys(tables, first) | own_data)
    return jobs


def _check_models(args, of_table):
    """Refuse options that no model follows, or that make two of a table's models one; of_table: {table: Dataset}."""
    which = args.recipe[0], args.seeds[0]
    runs = [settings for table, data in of_table.items() for settings in trainings(args, data, table)]
    if "told" in of_table:
        data, peers = of_table["told"], _peers_on_found_tasks(args)
        runs += [
            peer_settings(args, data, peer, *which) for peer in ["vae", *(ON_FOUND_TASKS[own][0] for own in peers)]
        ]
        for peer in peers:
            _tasks_of(args, data, peer, args.recipe[0])
    for table, data in of_table.items():
        if any(PEERS[peer].get("hidden") == WIDE for peer in _peers(args, table)):
            runs.append(SimpleNamespace(**sizes_of_hypervae(args, data, *which)))
    refuse_unfollowed(args, runs)
    for table, data in of_table.items():
        peer_of = {}
        for peer in _peers(args, table):
            other = peer_of.setdefault(peer_settings(args, data, peer, *which).digest, peer)
            if other != peer:
                raise InputError(f"these options make {other} and {peer} one model: choose one of them by --peer")


def told_jobs(args, loaded):
    """Jobs of told.measured for the data sets {name or path: Dataset}: all that knows the classes, or no tasks."""
    return [
        (args, settings, name, told.plan(settings, args.evaluate_on, _likelihood(args)))
        for name, data in loaded.items()
        for settings in trainings(args, data, "told")
    ]


def found_tasks_jobs(args, loaded):
    """Jobs of told.measured for models of tasks that nobody labelled; trains what finds these, as --jobs says."""
    peers = _peers_on_found_tasks(args)
    asked = {
        (name, recipe, peer): _tasks_of(args, data, peer, recipe)
        for (name, data), recipe, peer in itertools.product(loaded.items(), args.recipe, peers)
    }
    distinct = {found.digest: (args, name, found) for (name, *_), found in asked.items()}
    for _ in run_jobs(found_tasks.find, list(distinct.values()), args.jobs, args.scheduler):
        pass
    jobs = []
    for (name, data), recipe, seed, peer in itertools.product(loaded.items(), args.recipe, args.seeds, peers):
        trained_as, found = ON_FOUND_TASKS[peer][0], asked[name, recipe, peer]
        tasks = found_tasks.with_found_tasks(args, found, data)
        settings = peer_settings(args, tasks, trained_as, recipe, seed)
        jobs.append((args, settings, name, told.plan(settings, args.evaluate_on, _likelihood(args), tasks=found)))
    return jobs


def _likelihood(args):
    return ImportanceSampling(args.num_importance_samples, args.num_nll_images)


def generate_jobs(args, loaded):
    """Jobs of told.measured by the protocol of Table 1, for what u may change and for ranks."""
    return [
        (args, settings, name, told.plan(settings, args.evaluate_on, ImportanceSampling(0, 0), ["by_label"]))
        for name, data in loaded.items()
        for settings in trainings(args, data, "generate")
    ]


def unseen_jobs(args, loaded):
    """Jobs of unseen.measured: each fold, each model; tuning is chosen by the same model without the next fold."""
    jobs = []
    for name, data in loaded.items():
        unseen.check_folds(args.folds, name, data.num_classes)
        folds = unseen.folds(data.num_classes)
        of_fold = [list(trainings(args, without(data, *held_out), "unseen")) for held_out in folds]
        for fold in args.folds or range(len(folds)):
            for settings, chooser in zip(of_fold[fold], of_fold[(fold + 1) % len(folds)]):
                likelihood = ImportanceSampling(args.num_importance_samples, 0)
                records = unseen.plan(settings, chooser, data.fingerprint(), likelihood, args.adaptation)
                if records:
                    jobs.append((args, settings, name, fold, records))
                elif args.peer:  # it was asked for
                    which = f"{told.family(settings)} has none of these"
                    raise InputError(f"{which}: choose another --adaptation, or leave it out of --peer")
    if not jobs:
        raise InputError("these models have none of these --adaptation: choose another --adaptation, or --peer")
    return jobs


def first_hypervaes(jobs, name):
    """Of unseen_jobs those of the first HyperVAE, recipe and seed on one data set: one a fold."""

    def which(job):
        return told.family(job[1]), job[1].recipe, job[1].seed

    own = [job for job in jobs if job[2] == name and which(job)[0] in ("hypervae", "hypervae_tuned")]
    return [job for job in own if which(job) == which(own[0])]


def characters_jobs(args, _):
    """Jobs of characters.measured, which has a data set of its own."""
    data, sizes = characters.load(args.data_dir, args.body), (args.num_importance_samples, args.num_characters)
    return [
        (args, settings, characters.plan(settings, args.evaluate_on, *sizes))
        for settings in trainings(args, data, "characters")
    ]


JOBS = {"told": told_jobs, "generate": generate_jobs, "unseen": unseen_jobs, "characters": characters_jobs}
