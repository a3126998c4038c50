"""A new task arrives: what each model is told, what u may change, and classes that no training saw."""

from common import cli, report
from common.hypervae import options, peers
from common.hypervae.runs import load_data
from common.runs import identity, results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 09_new_tasks.py                                          digits, all tables
  python 09_new_tasks.py --dataset mnist --data-dir DATA --seeds 0 1 2 --jobs 2
  python 09_new_tasks.py --dataset mnist --data-dir DATA --table unseen --folds 3 --peer vae_wide hypervae
  python 09_new_tasks.py --table characters --data-dir DATA --latent-dim 50 --hyper-latent-dim 50 --rank 30
  python 09_new_tasks.py --dataset mnist --table generate --iterations 2000 --evaluate-on validation     (for choosing)

Tables: `told` (the same test images, with more and with less told), `generate` (what of theta u may change, and the
rank of the change), `unseen` (five folds of held-out classes; 0 to 100 context images; the models as they are, with u
fitted, fine-tuned, and fine-tuned beside the VAEs of the tasks of training), `characters` (few-shot Omniglot of
DATA/omniglot_characters; where asked for). Trains what is missing; what was measured is not measured again. Writes
RESULTS_DIR/09_new_tasks/told.csv, generate.csv and unseen.csv with figures of each data set, characters.csv,
characters_bound.csv, and RESULTS_DIR/README.md."""

GENERATE = ["dataset", "generate", "rank", "part", "seed", "parameters", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
GENERATE += ["recipe", "iterations"]


def write_told(args, jobs, loaded, folder):
    from common.hypervae import new_tasks, told

    def write(jobs):
        for rows in run_jobs(told.measured, jobs, args.jobs, args.scheduler):
            results.put_rows(folder / "told.csv", rows, told.COLUMNS, order=["dataset", "method", "seed"])
            for row in rows:
                line = "{dataset} {method} seed {seed}: -ELBO {neg_elbo:.2f}"
                line += ", NLL {nll_is:.2f}" * bool(row["nll_num_images"])
                print(line.format(**row), flush=True)

    write(jobs)
    write(new_tasks.found_tasks_jobs(args, loaded))  # by VAEs of the first jobs, so they come second
    draw_methods(folder, "told", ["neg_elbo", "nll_is"], "method", loaded)


def write_generate(args, jobs, loaded, folder):
    from common.hypervae import told

    for rows in run_jobs(told.measured, jobs, args.jobs, args.scheduler):
        for row in rows:
            training = row["run"].training
            row |= {"generate": told.family(training), "rank": training.rank}
            print("{dataset} {generate} rank {rank} seed {seed}: -ELBO {neg_elbo:.2f}".format(**row), flush=True)
        results.put_rows(folder / "generate.csv", rows, GENERATE, order=["dataset", "generate", "rank", "seed"])
    draw_methods(folder, "generate", ["neg_elbo"], "generate", loaded)


def draw_methods(folder, table, measures, name, loaded):
    """Figures of told.csv or generate.csv, see `by_method`; `name`: the method's column."""
    from common.hypervae import figures
    from common.hypervae.new_tasks_report import by_method

    path, known = folder / f"{table}.csv", {data.fingerprint(): data.name for data in loaded.values()}
    for title, stem, own in by_method(results.read_rows(path), results.read_records(path), measures, name, known):
        figures.nats_by_method(own, title, folder / f"{table}_{stem}.png")


def rows_of(jobs, table):
    """The rows of a table that some jobs (..., records) made."""
    return table[table["run"].isin(record.digest for *_, records in jobs for record in records)]


def write_unseen(args, jobs, loaded, folder):
    from common.hypervae import figures, new_tasks, unseen
    from common.hypervae.unseen_report import drawn

    order = ["dataset", "method", "num_context", "fold", "seed"]
    for rows in run_jobs(unseen.measured, jobs, args.jobs, args.scheduler):
        table = results.put_rows(folder / "unseen.csv", rows, unseen.COLUMNS, unseen.KEYS, order)
        for row in rows:
            line = "{dataset} without class {class}: {method}, {num_context} images, seed {seed}: -ELBO {neg_elbo:.2f}"
            print(line.format(**row), flush=True)
    records, own = results.read_records(folder / "unseen.csv"), rows_of(jobs, table)
    for name, data in loaded.items():
        of_data = table[[records[run]["whole"] == data.fingerprint() for run in table["run"]]]
        for title, protocol, nats, differences in drawn(of_data, records):
            path = folder / f"unseen_{data.name}-{data.fingerprint()}_{identity.digest([protocol])}.png"
            figures.nats_by_context(nats, differences, title, path)
        shown = {}
        for job in new_tasks.first_hypervaes(jobs, name):
            shown |= unseen.samples(job, own)
        if shown:
            which = identity.digest([data.fingerprint(), *sorted(own["run"].unique())])
            path = folder / f"samples_{data.name}-{which}.png"
            rows = dict(sorted(shown.items()))
            figures.samples_of_unseen(rows, unseen.SHOWN_CONTEXT, data.class_names, data.name, path)


def write_characters(args, jobs, loaded, folder):
    from common.hypervae import characters, figures
    from common.hypervae.new_tasks_report import PUBLISHED, PUBLISHED_DRAWS, lines_by_size

    for rows, bounds in run_jobs(characters.measured, jobs, args.jobs, args.scheduler):
        order = ["method", "num_context", "seed"]
        table = results.put_rows(folder / "characters.csv", rows, characters.COLUMNS, order=order)
        order = ["method", "set_size", "seed"]
        results.put_rows(folder / "characters_bound.csv", bounds, characters.BOUND_COLUMNS, order=order)
        for row in rows:
            line = "{method}, {num_context} drawings, seed {seed}: -ELBO {neg_elbo:.2f}, NLL {nll_is:.2f}"
            print(line.format(**row), flush=True)
    if args.num_importance_samples:
        own = rows_of(jobs, table)
        lines = lines_by_size(own, results.read_records(folder / "characters.csv"), "num_context", "nll_is")
        published = PUBLISHED if args.evaluate_on == "test" else {}
        title = f"unseen characters of Omniglot, {args.evaluate_on} part: {own['num_images'].iloc[0]:,} drawings; "
        title += f"{args.iterations:,} steps, {args.num_importance_samples} draws (published: {PUBLISHED_DRAWS:,})"
        path = folder / f"characters-{identity.digest(sorted(own['run'].unique()))}.png"
        figures.nats_by_drawings(lines, published, title, path)


WRITE = {"told": write_told, "generate": write_generate, "unseen": write_unseen, "characters": write_characters}


def main():
    parser = options.parser(__doc__, EXAMPLES, hidden=peers.OF_PEERS)
    options.add_body(parser.training)
    group = parser.add_argument_group("new tasks")
    group.add_argument(
        "--table", choices=tuple(WRITE), nargs="+", help="which tables (all on --dataset that have the models)"
    )
    group.add_argument(
        "--peer",
        choices=(*peers.PEERS, *peers.ON_FOUND_TASKS),
        nargs="+",
        help="models to train, by the names in the tables (all of the table)",
    )
    folds = "which of the five folds of held-out classes (all)"
    group.add_argument("--folds", type=int, choices=range(5), nargs="+", help=folds)
    how = "of `unseen`: what is done with a context (all): none; fitted, u alone; adapt, as HyperVAE.adapt does;"
    how += " finetuned, as other classes call for; mixture, that beside the known tasks"
    group.add_argument("--adaptation", choices=peers.ADAPTATIONS, nargs="+", default=list(peers.ADAPTATIONS), help=how)
    samples = "draws of z for the likelihood; 0 leaves it out (100)"
    group.add_argument("--num-importance-samples", type=cli.whole_number, default=100, help=samples)
    images = "test images for the likelihood in `told`, spread over all classes; 0 takes all (2000)"
    group.add_argument("--num-nll-images", type=cli.whole_number, default=2000, help=images)
    clusters = "of *_clusters: tasks found by k-means of the VAE's codes (50)"
    group.add_argument("--clusters", type=cli.positive_int, default=50, help=clusters)
    number = "of `characters`: how many unseen ones, spread over all; 0 takes all (0)"
    group.add_argument("--num-characters", type=cli.whole_number, default=0, help=number)
    part = "of all but `unseen`: validation for choosing settings (test)"
    group.add_argument("--evaluate-on", choices=("test", "validation"), default="test", help=part)
    ranks = "of `generate`: HyperVAE's ranks beside --rank (1 5 40)"
    group.add_argument("--ranks", type=cli.positive_int, nargs="*", default=[1, 5, 40], help=ranks)
    args = parser.parse_args()
    tables = peers.tables_of_peers(args)
    loaded = {name: load_data(args, name) for name in args.dataset}
    from common.hypervae.new_tasks import planned

    folder = args.results_dir / "09_new_tasks"
    for table, jobs in planned(args, loaded, tables).items():
        WRITE[table](args, jobs, loaded, folder)
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
