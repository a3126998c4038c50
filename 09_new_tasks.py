"""A new task arrives: what each model is told, what u may change, and classes that no training saw."""

import itertools

from common import cli, report
from common.errors import InputError
from common.hypervae import options
from common.runs import identity, results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 09_new_tasks.py                                          digits, all tables
  python 09_new_tasks.py --dataset mnist --data-dir DATA --seeds 0 1 2 --jobs 2
  python 09_new_tasks.py --dataset mnist --data-dir DATA --table unseen --folds 3 --peer vae_wide hypervae
  python 09_new_tasks.py --dataset mnist --data-dir DATA --iterations 2000 --evaluate-on validation     (for choosing)

Tables: `told` (the same test images, with more and with less told), `generate` (what of theta u may change, and the
rank of the change), `unseen` (five folds of held-out classes; 0 to 100 context images; the models as they are, with u
fitted, and fine-tuned). Trains what is missing; what was measured is not measured again. Writes RESULTS_DIR/
09_new_tasks/told.csv, generate.csv, unseen.csv, a figure of each data set, and RESULTS_DIR/README.md."""

TABLES = ("told", "generate", "unseen")
OF_TABLE = {
    "told": ("vae", "vae_wide", "cvae", "metavae", "hypervae"),
    "generate": ("bias", "scale_bias", "neural_statistician", "encoder", "decoder", "hypervae"),
    "unseen": ("vae", "vae_wide", "neural_statistician", "bias", "scale_bias", "hypervae"),
}
GENERATE = ["dataset", "generate", "rank", "part", "seed", "parameters", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
GENERATE += ["recipe", "iterations"]


def peers_of(args, table):
    """The models of a table that --peer asks for (all)."""
    return [peer for peer in OF_TABLE[table] if peer in (args.peer or OF_TABLE[table])]


def trainings(args, data, table):
    """The Settings of every peer, recipe and seed that a table asks for."""
    for recipe, seed, peer in itertools.product(args.recipe, args.seeds, peers_of(args, table)):
        yield options.peer_settings(args, data, peer, recipe, seed)
        if table == "generate" and peer == "hypervae":
            for rank in args.ranks:
                if rank != args.rank:
                    yield options.peer_settings(args, data, peer, recipe, seed, rank=rank)


def write_told(args, loaded, folder):
    from common.hypervae import told
    from common.hypervae.density import Likelihood

    likelihood = Likelihood(args.num_importance_samples, args.num_nll_images)
    jobs = [
        (args, settings, name, told.plan(settings, args.evaluate_on, likelihood))
        for name, data in loaded.items()
        for settings in trainings(args, data, "told")
    ]
    for rows in run_jobs(told.measured, jobs, args.jobs, args.scheduler):
        results.put_rows(folder / "told.csv", rows, told.COLUMNS, order=["dataset", "method", "seed"])
        for row in rows:
            line = "{dataset} {method} seed {seed}: -ELBO {neg_elbo:.2f}" + ", NLL {nll_is:.2f}" * bool(
                row["nll_num_images"]
            )
            print(line.format(**row), flush=True)


def write_generate(args, loaded, folder):
    from common.hypervae import told
    from common.hypervae.density import Likelihood

    jobs = [
        (args, settings, name, told.plan(settings, args.evaluate_on, Likelihood(0, 0), ["by_label"]))
        for name, data in loaded.items()
        for settings in trainings(args, data, "generate")
    ]
    for rows in run_jobs(told.measured, jobs, args.jobs, args.scheduler):
        for row in rows:
            training = row["run"].training
            row |= {"generate": told.family(training), "rank": training.rank}
            print("{dataset} {generate} rank {rank} seed {seed}: -ELBO {neg_elbo:.2f}".format(**row), flush=True)
        results.put_rows(folder / "generate.csv", rows, GENERATE, order=["dataset", "generate", "rank", "seed"])


def write_unseen(args, loaded, folder):
    from common.hypervae import figures, unseen
    from common.hypervae.density import Likelihood
    from common.hypervae.new_tasks_report import protocol_words, unseen_by_class

    jobs = []
    for name, data in loaded.items():
        all_folds = unseen.folds(data.num_classes)
        of_fold = [list(trainings(args, unseen.without(data, held_out), "unseen")) for held_out in all_folds]
        for fold in args.folds or range(len(all_folds)):
            for settings, chooser in zip(of_fold[fold], of_fold[(fold + 1) % len(all_folds)]):
                likelihood = Likelihood(args.num_importance_samples, 0)
                records = unseen.plan(settings, chooser, data.fingerprint(), likelihood)
                jobs.append((args, settings, name, fold, records))
    order = ["dataset", "method", "num_context", "fold", "seed"]
    for rows in run_jobs(unseen.measured, jobs, args.jobs, args.scheduler):
        table = results.put_rows(folder / "unseen.csv", rows, unseen.COLUMNS, unseen.KEYS, order)
        for row in rows:
            line = "{dataset} without class {class}: {method}, {num_context} images, seed {seed}: -ELBO {neg_elbo:.2f}"
            print(line.format(**row), flush=True)
    records = results.read_records(folder / "unseen.csv")
    own = table[table["run"].isin(record.digest for *_, plan in jobs for record in plan)]
    words = protocol_words(own, records)
    drawn = identity.digest(sorted(own["run"].unique()))
    for (dataset, protocol), nats in unseen_by_class(own, records).groupby(["dataset", "protocol"], sort=False):
        count = f"{nats['class'].nunique()} classes that no training saw"
        title = ", ".join(filter(None, [f"{dataset}: {count}", words[protocol]]))
        figures.nats_by_context(nats, title, folder / f"unseen_{dataset}-{identity.digest([protocol, drawn])}.png")


def main():
    parser = options.parser(__doc__, EXAMPLES)
    group = parser.add_argument_group("new tasks")
    group.add_argument("--table", choices=TABLES, nargs="+", help="which tables (all that have the models)")
    group.add_argument("--peer", choices=tuple(options.PEERS), nargs="+", help="which models (those of the table)")
    folds = "which of the five folds of held-out classes (all)"
    group.add_argument("--folds", type=int, choices=range(5), nargs="+", help=folds)
    samples = "draws of z for the likelihood; 0 leaves it out (100)"
    group.add_argument("--num-importance-samples", type=cli.whole_number, default=100, help=samples)
    images = "test images for the likelihood in `told`, spread over all classes; 0 takes all (2000)"
    group.add_argument("--num-nll-images", type=cli.whole_number, default=2000, help=images)
    part = "of `told` and `generate`: validation for choosing settings (test)"
    group.add_argument("--evaluate-on", choices=("test", "validation"), default="test", help=part)
    ranks = "of `generate`: HyperVAE's ranks beside --rank (1 5 40)"
    group.add_argument("--ranks", type=cli.positive_int, nargs="*", default=[1, 5, 40], help=ranks)
    args = parser.parse_args()
    if args.model != ["all"]:
        raise InputError("the models of these tables have names of their own: give --peer in place of --model")
    tables = args.table or [table for table in TABLES if peers_of(args, table)]
    for table in tables:
        if not peers_of(args, table):
            known = ", ".join(OF_TABLE[table])
            raise InputError(f"table {table} has none of these models: choose --peer among {known}")
    if (args.hidden, args.generator, args.generate) != (0, "layerwise", "all"):
        raise InputError("the models have --hidden, --generator and --generate of their own: leave these out")
    loaded = {name: options.load_data(args, name) for name in args.dataset}
    if "unseen" in tables:
        from common.hypervae.unseen import folds

        for name, data in loaded.items():
            number = len(folds(data.num_classes))
            if max(args.folds or [0]) >= number:
                raise InputError(
                    f"{name} has {data.num_classes} classes, and so folds 0 to {number - 1}: choose --folds"
                )
    folder = args.results_dir / "09_new_tasks"
    for table in tables:
        {"told": write_told, "generate": write_generate, "unseen": write_unseen}[table](args, loaded, folder)
    report.write_report(args.results_dir)
    print(f"tables and figures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
