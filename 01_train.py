"""Train VAE, MetaVAE and HyperVAE (sections 2 to 4.2) and draw what they learned."""

from pathlib import Path

from common import cli
from common.hypervae import options
from common.runs import identity, results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 01_train.py                                   all three models on scikit-learn's digits
  python 01_train.py --model hypervae --dataset mnist --data-dir DATA
  python 01_train.py --model vae hypervae --dataset mnist --recipe paper --seeds 0 1 2 --jobs 2
  python 01_train.py --dataset my_images.npz --iterations 2000

A run that was cut off goes on where it was; a finished one is loaded, not repeated. Writes RESULTS_DIR/01_train/
training.csv, and figures of the first seed and recipe of each data set."""

SETTINGS = ["dataset", "model", "recipe", "summary", "generator", "tasks_per_step", "learning_rate", "schedule"]
SETTINGS += ["kl_warmup", "seed", "binarize", "iterations"]
MEASURES = ["neg_elbo", "reconstruction", "kl_z", "kl_u"]
COLUMNS = [*SETTINGS, "images_seen", *MEASURES, "seconds"]


def train(job):
    """Train one run; its row of the training table (measures: mean since the last checkpoint but one)."""
    args, settings, name = job
    run = options.trained(args, settings, options.load_data(args, name))
    row = {column: getattr(settings, column) for column in SETTINGS}
    row |= {column: run.log[column].iloc[-1] for column in MEASURES}
    row |= {"images_seen": settings.iterations * settings.batch_size, "seconds": round(run.seconds, 1)}
    return row | {"run": settings, "trained_at": run.trained_at, "evaluated_at": run.trained_at}


def draw(args, data, all_settings):
    """The figures of one data set; their folder's name stands for the runs that are drawn."""
    from common.hypervae import figures

    runs = [options.trained(args, settings, data) for settings in all_settings]
    digest = identity.digest([settings.stored() for settings in all_settings])
    folder = args.results_dir / "01_train" / f"{data.name}-{digest}"
    figures.loss_curves(runs, folder / "loss_curves.png")
    figures.reconstructions(runs, data, folder / "reconstructions.png")
    for run in runs:
        if run.settings.model == "hypervae":
            figures.generated_vaes(run.model, data, folder / "generated_vaes.png")
            figures.walk(run.model, data, folder / "walk.png")
    return folder


def pack_weights(args, data, all_settings):
    from common.hypervae import pretrained

    for settings in all_settings:
        card = pretrained.pack(options.trained(args, settings, data), data, args.pack)
        line = "{name} {model}: test -ELBO {neg_elbo:.3f} nats an image, rounded to float16 {neg_elbo_float16:.3f}"
        print(line.format(name=data.name, model=settings.model, **card), flush=True)


def main():
    parser = options.parser(__doc__, EXAMPLES)
    pack = "also write the weights of the first seed and recipe there, as float16, with a model card each"
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help=pack)
    args = parser.parse_args()
    loaded, jobs = options.planned_runs(args)
    options.refuse_unfollowed(args, [settings for _, settings, _ in jobs])
    for row in run_jobs(train, jobs, args.jobs, args.scheduler):
        results.put_rows(args.results_dir / "01_train" / "training.csv", [row], COLUMNS, order=SETTINGS)
        line = "{dataset} {model} {recipe} seed {seed}: training objective {neg_elbo:.2f} nats, {seconds:.0f} s"
        print(line.format(**row), flush=True)
    for name, data in loaded.items():
        own = [settings for _, settings, job_name in jobs if job_name == name]
        first = own[: len({settings.model for settings in own})]
        print(f"figures: {draw(args, data, first)}")
        if args.pack:
            pack_weights(args, data, first)


if __name__ == "__main__":
    cli.run_script(main)
