"""Train VAE, MetaVAE and HyperVAE (sections 2 to 4.2) and draw what they learned."""

from pathlib import Path

from common import cli
from common.errors import InputError
from common.hypervae import options
from common.hypervae.runs import planned_runs, refuse_unfollowed, trained
from common.hypervae.task_sources import load_with_tasks
from common.names import name_of_file
from common.runs import identity, results
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 01_train.py                                   all three models on scikit-learn's digits
  python 01_train.py --model hypervae --dataset mnist --data-dir DATA
  python 01_train.py --model vae hypervae --dataset mnist --recipe paper --seeds 0 1 2 --jobs 2
  python 01_train.py --dataset my_images.npz --iterations 2000
  python 01_train.py --pretrained mnist --adapt sevens/ --image-size 28 --export sevens.keras --sample 64

A run that was cut off goes on where it was; a finished one is loaded, not repeated. Writes RESULTS_DIR/01_train/
training.csv, and figures of the first seed and recipe of each data set.

With --adapt a HyperVAE, trained or --pretrained, hands out the plain VAE of a new task, of a few of its images."""

SETTINGS = ["dataset", "model", "recipe", "summary", "generator", "tasks_per_step", "learning_rate", "schedule"]
SETTINGS += ["kl_warmup", "seed", "binarize", "iterations"]
MEASURES = ["neg_elbo", "reconstruction", "kl_z", "kl_u_of_task"]
SAMPLES_A_ROW = 16
OF_NEW_TASKS = ["--pretrained", "--fit-steps", "--tuning-steps", "--export", "--sample"]
OF_TRAININGS = ["--data-dir", "--recipe", "--iterations", "--batch-size", "--learning-rate", "--schedule"]
OF_TRAININGS += ["--kl-warmup", "--tasks-per-step", "--latent-dim", "--hyper-latent-dim", "--summary", "--generator"]
OF_TRAININGS += ["--generate", "--rank", "--change-scale", "--vector-scale", "--hidden", "--tensorboard"]
OF_TRAININGS += ["--tasks", "--likelihood", "--body", "--targets"]
COLUMNS = [*SETTINGS, "images_seen", *MEASURES, "seconds"]


def train(job):
    """Train one run; its row of the training table (measures: mean since the last checkpoint but one)."""
    args, settings, name = job
    run = trained(args, settings, load_with_tasks(args, name))
    row = {column: getattr(settings, column) for column in SETTINGS}
    row |= {column: run.log[column].iloc[-1] for column in MEASURES}
    row |= {"images_seen": settings.iterations * settings.batch_size, "seconds": round(run.seconds, 1)}
    return row | {"run": settings, "trained_at": run.trained_at, "evaluated_at": run.trained_at}


def draw(args, data, all_settings):
    """The figures of one data set; their folder's name stands for the runs that are drawn."""
    from common.hypervae import figures

    runs = [trained(args, settings, data) for settings in all_settings]
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
        card = pretrained.pack(trained(args, settings, data), data, args.pack)
        line = "{name} {model}: test -ELBO {neg_elbo:.3f} nats an image, rounded to float16 {neg_elbo_float16:.3f}"
        print(line.format(name=data.name, model=settings.model, **card), flush=True)


def adapt(args):
    """The VAE of a new task: samples.png, and with --export a Keras file."""
    from common.data import readers
    from common.hypervae import new_vae
    from common.runs import figures

    if args.export and args.export.suffix != ".keras":
        raise InputError(f"--export {args.export}: give a name that ends in .keras")
    pile, _ = readers.unlabelled(args.adapt, args.image_size, options.has_levels(args))
    found = new_vae.adapted(args, pile)
    folder = args.results_dir / "01_train" / f"{found.name}_{name_of_file(args.adapt)}-{found.digest}"
    images = found.samples(args.sample)
    rows = [images[start : start + SAMPLES_A_ROW] for start in range(0, len(images), SAMPLES_A_ROW)]
    figures.grid(rows, folder / "samples.png", "samples of the adapted VAE: p(x|z)", figures.grey(found.name))
    print(f"{found.words}\nsamples: {folder}/samples.png")
    if args.export:
        found.export(args.export)
        print(f"Keras model: {args.export} (keras.models.load_model after `import common.hypervae.vae`)")


def main():
    parser = options.parser(__doc__, EXAMPLES)
    options.add_tasks(parser.training)
    options.add_likelihood(parser.training)
    options.add_body(parser.training)
    pack = "also write the weights of the first seed and recipe there, as float16, with a model card each"
    parser.runs.add_argument("--pack", type=Path, metavar="FOLDER", help=pack)
    new = parser.add_argument_group("a new task")
    pile = "images of one new task, a folder of pictures or an .npz; nothing else is drawn or written then"
    new.add_argument("--adapt", type=Path, metavar="PATH", help=pile)
    packed = "a HyperVAE that comes with the project (mnist, fashion_mnist, omniglot), in place of training one"
    new.add_argument("--pretrained", metavar="NAME", help=packed)
    new.add_argument("--fit-steps", type=cli.whole_number, default=50, help="gradient steps on u (50)")
    steps = "then so many on all weights (0; of 2, 5, 10, 100 images or more 5, 10, 20, 80)"
    new.add_argument("--tuning-steps", type=cli.whole_number, help=steps)
    new.add_argument("--export", type=Path, metavar="FILE", help="where the VAE is written, a .keras file")
    new.add_argument("--sample", type=cli.positive_int, default=64, help="samples in the picture (64)")
    args = parser.parse_args()
    if args.adapt:
        cli.refuse_unused(args, ["--pack", "--jobs", "--scheduler"], "with --adapt")
        if args.pretrained:
            cli.refuse_unused(args, ["--dataset", "--model", "--seed", "--seeds", *OF_TRAININGS], "with --pretrained")
            if not args.adapt.is_dir():
                cli.refuse_unused(args, ["--image-size"], "where --adapt is no folder of pictures")
        adapt(args)
        return
    cli.refuse_unused(args, OF_NEW_TASKS, "without --adapt")
    loaded, jobs = planned_runs(args, load_with_tasks)
    refuse_unfollowed(args, [settings for _, settings, _ in jobs])
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
