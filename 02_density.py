"""Density estimation (section 4.3): Table 1, Table 2 (parameters) and Table 3 (time)."""

import functools

from common import cli, report
from common.hypervae import options
from common.hypervae.report import summarise, summarise_likelihood
from common.hypervae.runs import load_data, planned_runs, refuse_unfollowed, trained
from common.runs import results, storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 02_density.py                                 digits; trains what is missing
  python 02_density.py --dataset mnist fashion_mnist omniglot --data-dir DATA --seeds 0 1 2 --jobs 2
  python 02_density.py --dataset mnist --recipe paper --num-importance-samples 1024
  python 02_density.py --dataset mnist --evaluate-on validation --summary set     (for choosing settings)
  python 02_density.py --tables 2 3                    parameters and time: trains nothing

Writes RESULTS_DIR/02_density/table1.csv (validation.csv for --evaluate-on validation), summary.csv (-ELBO and its terms
over seeds), likelihood.csv (the importance-sampled likelihood over seeds), table2.csv, table3.csv, and
RESULTS_DIR/README.md. What was measured before is not measured again."""

SETTINGS = ["dataset", "model", "recipe", "summary", "seed"]
TABLE1 = [*SETTINGS, "neg_elbo", "reconstruction", "kl_z", "kl_u", "nll_is", "num_importance_samples", "iterations"]
TABLE1 += ["images_seen", "seconds", "nll_num_images", "generator", "tasks_per_step", "learning_rate", "schedule"]
TABLE1 += ["kl_warmup", "latent_dim", "hyper_latent_dim", "binarize", "evaluate_on", "neg_elbo_drawn_u"]
TABLE1 += ["likelihood", "bits_per_dim"]
TABLE1_ORDER = ["dataset", "recipe", "model", "summary", "generator", "tasks_per_step", "learning_rate", "schedule"]
TABLE1_ORDER += ["kl_warmup", "latent_dim", "hyper_latent_dim", "binarize", "iterations", "num_importance_samples"]
TABLE1_ORDER += ["seed"]
TABLE2 = ["dataset", "model", "generator", "inference", "generative", "total"]
# Options that Tables 2 and 3 have no use for: nothing is trained for them, and they show all models.
OF_TABLE1 = ["--model", "--recipe", "--iterations", "--batch-size", "--learning-rate", "--schedule", "--kl-warmup"]
OF_TABLE1 += ["--tasks-per-step", "--summary", "--generator", "--change-scale", "--vector-scale", "--seed", "--jobs"]
OF_TABLE1 += ["--scheduler", "--tensorboard", "--num-importance-samples", "--num-nll-images", "--evaluate-on"]
OF_TABLE1 += ["--fit-u", "--targets", "--binarize"]
TABLE3 = ["dataset", "model", "generator", "quantity", "milliseconds", "ratio_to_vae_total"]


def measure(job):
    """Train one run if it is missing and measure it; its row of Table 1."""
    from tqdm import tqdm

    from common.hypervae import density

    args, settings, name = job
    likelihood = None
    if args.num_importance_samples:
        likelihood = density.ImportanceSampling(args.num_importance_samples, args.num_nll_images)
    evaluation = density.Evaluation(settings, args.evaluate_on, likelihood, fit_u=options.fit_u(args, settings.model))

    def measured():
        data = load_data(args, name)
        run = trained(args, settings, data)
        title = f"{settings.dataset} {settings.model} {settings.recipe} seed {settings.seed}: measuring"
        how = {"progress": lambda tasks: tqdm(tasks, title, mininterval=5), **evaluation.options()}
        part = data.part(args.evaluate_on)
        measures = density.evaluate(run.model, *part, **how)
        if settings.model == "hypervae":  # what a receiver is sent is a draw (section 3.3)
            drawn = density.evaluate(run.model, *part, **how | {"num_importance_samples": 0, "draw_u": True})
            measures["neg_elbo_drawn_u"] = drawn["neg_elbo"]
        measures["bits_per_dim"] = density.bits_per_dim(measures["neg_elbo"], data.image_shape)
        row = {measure: float(value) for measure, value in measures.items()}
        row |= {"nll_num_images": int(measures["nll_num_images"]), "seconds": round(run.seconds, 1)}
        row |= {"trained_at": run.trained_at, "evaluated_at": storage.commit()}
        return row | {"settings": evaluation.stored()}

    path = settings.folder(args.results_dir / "checkpoints") / f"density-{evaluation.digest}.json"
    row = {column: getattr(settings, column) for column in TABLE1 if hasattr(settings, column)}
    row |= {"images_seen": settings.iterations * settings.batch_size, "evaluate_on": args.evaluate_on}
    row |= {"num_importance_samples": args.num_importance_samples, "run": evaluation, "likelihood": args.likelihood}
    return row | storage.made_once(path, measured)


def write_table1(args, jobs):
    """Table 1, or with --evaluate-on validation the table that settings are chosen by; and its summaries."""
    folder, test = args.results_dir / "02_density", args.evaluate_on == "test"
    table = folder / ("table1.csv" if test else "validation.csv")
    for row in run_jobs(measure, jobs, args.jobs, args.scheduler):
        results.put_rows(table, [row], TABLE1, order=TABLE1_ORDER)
        line = "{dataset} {model} {recipe} {summary} seed {seed}: -ELBO {neg_elbo:.2f} = {reconstruction:.2f}"
        line += " + {kl_z:.2f} + {kl_u:.2f}" + ", NLL {nll_is:.2f}" * bool(args.num_importance_samples)
        print(line.format(**row), flush=True)
    if test:
        results.write_summary(folder / "summary.csv", table, summarise)
        results.write_summary(folder / "likelihood.csv", table, lambda rows, _: summarise_likelihood(rows))


def variants(args, loaded):
    """[(name of a data set, the Networks of Tables 2 and 3 for it)]."""
    from common.hypervae import timing

    sizes = [getattr(args, name) for name in timing.SIZES]
    return [(data.name, timing.variants(data, *sizes)) for data in loaded.values()]


def write_tables_2_and_3(args, sets, tables):
    """Parameters and times of every data set's models."""
    from common.hypervae import timing

    folder, at = args.results_dir / "02_density", {"trained_at": storage.commit(), "evaluated_at": storage.commit()}
    if 2 in tables:
        rows = [
            {"run": own, "dataset": name, "model": own.model, "generator": own.generator, **timing.table2(own), **at}
            for name, variants in sets
            for own in variants
        ]
        results.put_rows(folder / "table2.csv", rows, TABLE2, ["dataset"], ["dataset", "model", "generator"])
    if 3 in tables:
        rows, time_of = [], functools.cache(timing.table3)  # networks that sets share are timed once
        for name, variants in sets:
            timed = {own: timing.Timing(own, "draw") for own in variants}  # the paper's: u is inferred from one image
            vae_total = time_of(timed[variants[0]])["total"]
            for own, record in timed.items():
                row = {"run": record, "dataset": name, "model": own.model, "generator": own.generator, **at}
                for quantity, milliseconds in time_of(record).items():
                    own_time = {"milliseconds": milliseconds, "ratio_to_vae_total": milliseconds / vae_total}
                    rows.append({**row, "quantity": quantity, **own_time})
        results.put_rows(folder / "table3.csv", rows, TABLE3, ["dataset", "quantity"], TABLE3[:4])


def main():
    parser = options.parser(__doc__, EXAMPLES)
    options.add_likelihood(parser.training)
    options.add_body(parser.training)
    measures = parser.add_argument_group("measures")
    options.add_fit_u(measures)
    samples = "draws of z for the likelihood; 0 leaves it out (1024)"
    measures.add_argument("--num-importance-samples", type=cli.whole_number, default=1024, help=samples)
    images = "test images whose likelihood is importance-sampled, spread over all tasks; 0 takes all (2000)"
    measures.add_argument("--num-nll-images", type=cli.whole_number, default=2000, help=images)
    part = "validation: the tenth of the training set that no model trains on, for choosing settings (test)"
    measures.add_argument("--evaluate-on", choices=("test", "validation"), default="test", help=part)
    tables = "which tables: 1 density, 2 parameters, 3 time (all three; with --evaluate-on validation, 1)"
    measures.add_argument("--tables", type=int, choices=(1, 2, 3), nargs="+", help=tables)
    args = parser.parse_args()
    tables = args.tables or ([1, 2, 3] if args.evaluate_on == "test" else [1])
    if 1 not in tables:
        cli.refuse_unused(args, OF_TABLE1, "in Tables 2 and 3")
    if not args.num_importance_samples:
        cli.refuse_unused(args, ["--num-nll-images"], "with --num-importance-samples 0")
    loaded, jobs = planned_runs(args)
    sets = variants(args, loaded) if {2, 3} & set(tables) else []
    followed = [settings for _, settings, _ in jobs] if 1 in tables else []
    refuse_unfollowed(args, [*followed, *(own for _, found in sets for own in found)])
    if 1 in tables:
        write_table1(args, jobs)
    if sets:
        write_tables_2_and_3(args, sets, tables)
    report.finish(args.results_dir / "02_density")


if __name__ == "__main__":
    cli.run_script(main)
