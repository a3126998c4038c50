"""Density estimation (section 4.3): Table 1, Table 2 (parameters) and Table 3 (time)."""

import dataclasses
from pathlib import Path

from tqdm import tqdm

from common import cli, report
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 02_density.py                                 digits; trains what is missing
  python 02_density.py --dataset mnist fashion_mnist omniglot --data-dir DATA --seeds 0 1 2 --jobs 2
  python 02_density.py --dataset mnist --recipe paper --num-importance-samples 1024
  python 02_density.py --dataset mnist --evaluate-on validation --summary set     (for choosing settings)

Writes RESULTS_DIR/02_density/table1.csv (validation.csv for --evaluate-on validation), summary.csv, table2.csv,
table3.csv, and RESULTS_DIR/README.md. What was measured before is not measured again."""

TABLE1 = ["dataset", "model", "recipe", "summary", "seed", "neg_elbo", "reconstruction", "kl_z", "kl_u", "nll_is"]
TABLE1 += ["num_importance_samples", "iterations", "images_seen", "seconds", "commit", "nll_num_images", "generator"]
TABLE1 += [
    "tasks_per_step",
    "learning_rate",
    "schedule",
    "kl_warmup",
    "latent_dim",
    "hyper_latent_dim",
    "binarize",
    "evaluate_on",
]
TABLE1_KEYS = [
    "dataset",
    "recipe",
    "model",
    "summary",
    "generator",
    "tasks_per_step",
    "learning_rate",
    "schedule",
    "kl_warmup",
]
TABLE1_KEYS += ["latent_dim", "hyper_latent_dim", "binarize", "iterations", "num_importance_samples", "seed"]
TABLE2 = ["dataset", "model", "generator", "inference", "generative", "total", "commit"]
TABLE3 = ["model", "generator", "quantity", "milliseconds", "ratio_to_vae_total", "commit"]
EVALUATION_SEED = 1


def measure(job):
    """Train one run if it is missing and measure it; its row of Table 1."""
    args, settings, name = job
    options = {"seed": EVALUATION_SEED, "num_importance_samples": args.num_importance_samples}
    options["num_nll_images"] = args.num_nll_images or None
    digest = results.digest(options | {"evaluate_on": args.evaluate_on})
    path = settings.folder(args.results_dir / "checkpoints") / f"density-{digest}.json"

    def measured():
        from common.hypervae import density

        data = cli.load_data(args, name)
        run = cli.trained(args, settings, data)
        label = f"{settings.dataset} {settings.model} {settings.recipe} seed {settings.seed}: measuring"
        x, y = data.part(args.evaluate_on)
        measures = density.evaluate(
            run.model, x, y, progress=lambda tasks: tqdm(tasks, label, mininterval=5), **options
        )
        row = {key: value for key, value in dataclasses.asdict(settings).items() if key in TABLE1}
        row |= {key: float(value) for key, value in measures.items()}
        row |= {
            "evaluate_on": args.evaluate_on,
            "num_importance_samples": args.num_importance_samples,
            "nll_num_images": int(measures["nll_num_images"]),
            "images_seen": settings.iterations * settings.batch_size,
            "seconds": round(run.seconds, 1),
            "commit": run.commit,
        }
        return row

    return results.stored(path, measured)


def untrained_variants(args, data, recipe):
    """Yield (model, generator, untrained Keras model) for the rows of Tables 2 and 3."""
    from common.hypervae.training import build_model

    for model, generator in (("vae", "none"), ("metavae", "none"), ("hypervae", "layerwise"), ("hypervae", "block")):
        settings = dataclasses.replace(cli.settings_for(args, data, model, recipe, seed=0), generator=generator)
        yield model, generator, build_model(settings, data)


def count_parameters(args, data):
    """Table 2: trainable parameters of each model and generator."""
    from common.runs.results import commit

    rows = []
    for model, generator, built in untrained_variants(args, data, args.recipe[0]):
        counts = built.parameter_counts()
        row = {"dataset": data.name, "model": model, "generator": generator, "total": sum(counts.values())}
        rows.append(row | counts | {"commit": commit()})
    return rows


def measure_times(args, data):
    """Table 3, with the paper's summary (u is inferred from one image)."""
    from common.hypervae.timing import table3
    from common.runs.results import commit

    rows, vae_total = [], None
    for model, generator, built in untrained_variants(args, data, "paper"):
        times = table3(built, generator)
        vae_total = vae_total or times["total"]
        for quantity, milliseconds in times.items():
            row = {"model": model, "generator": generator, "quantity": quantity, "milliseconds": milliseconds}
            rows.append(row | {"ratio_to_vae_total": milliseconds / vae_total, "commit": commit()})
    return rows


def main():
    parser = cli.parser(__doc__, EXAMPLES)
    parser.add_argument(
        "--num-importance-samples",
        type=cli.whole_number,
        default=1024,
        help="draws of z for the likelihood; 0 leaves it out (1024)",
    )
    parser.add_argument(
        "--num-nll-images",
        type=cli.whole_number,
        default=2000,
        help="test images whose likelihood is importance-sampled, spread over all tasks; 0 takes all (2000)",
    )
    parser.add_argument(
        "--evaluate-on",
        choices=("test", "validation"),
        default="test",
        help="validation: the tenth of the training set that no model trains on, for choosing settings (test)",
    )
    args = parser.parse_args()
    loaded, jobs = cli.planned_runs(args)
    folder = Path(args.results_dir) / "02_density"
    test = args.evaluate_on == "test"
    rows = None
    for row in run_jobs(measure, jobs, args.jobs):
        rows = results.put_rows(folder / ("table1.csv" if test else "validation.csv"), [row], TABLE1, TABLE1_KEYS)
        line = (
            "{dataset} {model} {recipe} {summary} seed {seed}: -ELBO {neg_elbo:.2f} = {reconstruction:.2f} + {kl_z:.2f}"
        )
        print((line + " + {kl_u:.2f}, NLL {nll_is:.2f}").format(**row), flush=True)
    if test:
        summary = report.summarise(rows)
        results.write_table(folder / "summary.csv", summary)
        for data in loaded.values():
            counts = count_parameters(args, data)
            results.put_rows(folder / "table2.csv", counts, TABLE2, ["dataset", "model", "generator"])
        times = measure_times(args, next(iter(loaded.values())))
        results.put_rows(folder / "table3.csv", times, TABLE3, ["model", "generator", "quantity"])
    report.write_report(args.results_dir)
    print(f"tables: {folder}; report: {Path(args.results_dir) / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
