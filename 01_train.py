"""Train VAE, MetaVAE and HyperVAE (sections 2 to 4.2) and draw what they learned."""

from pathlib import Path

from common import cli
from common.runs import results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 01_train.py                                   all three models on scikit-learn's digits
  python 01_train.py --model hypervae --dataset mnist --data-dir DATA
  python 01_train.py --model hypervae --dataset mnist --recipe paper --seeds 0 1 2 --jobs 2
  python 01_train.py --dataset my_images.npz --iterations 2000

A run that was cut off goes on where it was; a finished one is loaded, not repeated."""

COLUMNS = [
    "dataset",
    "model",
    "recipe",
    "summary",
    "generator",
    "tasks_per_step",
    "learning_rate",
    "schedule",
    "kl_warmup",
    "seed",
]
COLUMNS += ["binarize", "iterations", "images_seen", "neg_elbo", "reconstruction", "kl_z", "kl_u"]
COLUMNS += ["seconds", "commit"]
KEYS = COLUMNS[:12]


def train(job):
    """Train one run; its row of the training table (measures: mean over the last 500 iterations)."""
    args, settings, name = job
    run = cli.trained(args, settings, cli.load_data(args, name))
    last = run.log.iloc[-1]
    row = {name: getattr(settings, name) for name in KEYS}
    row |= {name: last[name] for name in ("neg_elbo", "reconstruction", "kl_z", "kl_u")}
    return row | {
        "images_seen": settings.iterations * settings.batch_size,
        "seconds": round(run.seconds, 1),
        "commit": run.commit,
    }


def draw(args, data, all_settings, folder):
    """The figures of one data set, from the first seed and recipe."""
    from common.hypervae.training import fit_or_load
    from common.runs import figures

    runs = [fit_or_load(s, data, args.results_dir / "checkpoints", verbose=0) for s in all_settings]
    figures.loss_curves(runs, folder / "loss_curves.png")
    figures.reconstructions(runs, data, folder / "reconstructions.png")
    for run in runs:
        if run.settings.model == "hypervae":
            figures.generated_vaes(run.model, folder / "generated_vaes.png")
            figures.walk(run.model, data, folder / "walk.png")


def main():
    parser = cli.parser(__doc__, EXAMPLES)
    args = parser.parse_args()
    loaded, jobs = cli.planned_runs(args)
    table = Path(args.results_dir) / "01_train" / "training.csv"
    for row in run_jobs(train, jobs, args.jobs):
        results.put_rows(table, [row], COLUMNS, KEYS)
        print(
            "{dataset} {model} {recipe} seed {seed}: training -ELBO {neg_elbo:.2f} nats, {seconds:.0f} s".format(**row)
        )
    for name, data in loaded.items():
        own = [settings for _, settings, job_name in jobs if job_name == name]
        folder = Path(args.results_dir) / "01_train" / data.name
        draw(args, data, own[: len({settings.model for settings in own})], folder)
        print(f"figures: {folder}")


if __name__ == "__main__":
    cli.run_script(main)
