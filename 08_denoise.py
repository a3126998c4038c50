"""Zero-shot denoising, inpainting and the bars test by a binary-latent VAE (TVAE, Drefs et al. 2022).

One image is all the data: nothing clean, no training set.
"""

import dataclasses
from pathlib import Path

from common import cli, report
from common.runs.jobs import run_jobs
from common.runs.results import put_rows
from common.tvae import bars, denoising, patches
from common.tvae.training import Recipe

EXAMPLES = """examples:
  python 08_denoise.py                                       scikit-learn's china.jpg, a grey crop, sigma 25
  python 08_denoise.py --image house.png --sigma 25 --epochs 200
  python 08_denoise.py --image old_scan.jpg --noisy          the image is noisy already: no PSNR then
  python 08_denoise.py --image house.png --inpaint 0.5 --sigma 0 --half-cycle 20
  python 08_denoise.py --task bars --seeds 0 1 2 3 4         known truth: eight bars

The noise level is never told to the model. Writes RESULTS_DIR/08_denoise/psnr.csv (bars.csv), and for each run a folder
with its pictures; what was interrupted goes on where it was. Estimates are best at the end of a learning-rate cycle:
let --epochs be a multiple of 2 x --half-cycle."""
# Options that the bars test, whose data it draws itself, has no use for.
OF_PICTURES = ["--image", "--range", "--sigma", "--noisy", "--inpaint", "--patch", "--stride"]
OF_PICTURES += ["--warm-stride", "--warm-epochs"]


def arguments():
    parser = cli.Parser(__doc__, EXAMPLES)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--task", choices=("denoise", "bars"), default="denoise", help="an image (default), or the bars test"
    )
    image = "PNG, JPEG or TIFF of any depth, grey or colour (a crop of scikit-learn's china.jpg)"
    data.add_argument("--image", type=Path, help=image)
    span = "the file's numbers for black and white, where its type does not say them"
    data.add_argument("--range", type=float, nargs=2, metavar=("BLACK", "WHITE"), help=span)
    noise = data.add_mutually_exclusive_group()
    sigma = "standard deviation of the noise to add, where white is 255 (25)"
    noise.add_argument("--sigma", type=cli.not_negative, default=25.0, help=sigma)
    noise.add_argument("--noisy", action="store_true", help="the image is noisy already: add none")
    data.add_argument("--inpaint", type=cli.fraction, default=0.0, help="fraction of pixels that are missing (0)")
    cli.add_run_options(parser.add_argument_group("runs"))
    cut = parser.add_argument_group("patches")
    cut.add_argument("--patch", type=cli.positive_int, default=8, help="side of a patch (8)")
    cut.add_argument("--stride", type=cli.positive_int, default=4, help="of the patches (4)")
    cut.add_argument("--warm-stride", type=cli.positive_int, default=0, help="train at this coarser stride first (no)")
    cut.add_argument("--warm-epochs", type=cli.positive_int, default=100, help="of that training (100)")
    model = parser.add_argument_group("model and training")

    def add(option, of, kind=cli.positive_int, **more):
        name = option[2:].replace("-", "_")
        ours, for_bars = (_in_words(getattr(recipe, name)) for recipe in (Recipe(), bars.RECIPE))
        default = ours if ours == for_bars else f"{ours}; bars: {for_bars}"
        model.add_argument(option, type=kind, help=f"{of} ({default})", **more)

    add("--latent-dim", "binary units H")
    add("--hidden", "units of the decoder's hidden layers", nargs="+")
    model.add_argument("--leaky", action="store_true", default=None, help="LeakyReLU in place of ReLU")
    add("--states", "states S kept for each patch")
    add("--parents", "of an evolutionary step")
    add("--children", "of each parent")
    add("--generations", "of an evolutionary step")
    add("--selection", "of parents", str, choices=("best", "fitness", "uniform"))
    add("--mutation", "flip: one bit", str, choices=("flip", "sparse_flips", "crossover"))
    add("--epochs", "over all patches")
    add("--batch-size", "patches a step")
    add("--min-learning-rate", "of the triangular schedule", cli.positive_float)
    add("--max-learning-rate", "of the triangular schedule", cli.positive_float)
    add("--half-cycle", "epochs in which the learning rate rises")
    return parser


def _in_words(value):
    return (
        " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
    )


def chosen(args, default):
    """The recipe `default` with the options that were given."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return dataclasses.replace(default, **given)


def denoise(args, folder, checkpoints):
    """Every seed of one image; writes psnr.csv and the pictures, and returns the table."""
    picture, name = denoising.load(args.image, args.range)
    image = picture.pixels
    print("\n".join(picture.notes), end="\n" * bool(picture.notes))
    cut = dict(patch=args.patch, stride=args.stride, warm_stride=args.warm_stride, warm_epochs=args.warm_epochs)
    cut |= {"sigma": None if args.noisy else args.sigma, "inpaint": args.inpaint, "recipe": chosen(args, Recipe())}
    shared = dict(image=name, fingerprint=patches.fingerprint(image), **cut)
    runs = [denoising.DenoisingRun(**shared, seed=seed) for seed in dict.fromkeys(args.seeds)]
    for run in runs:
        denoising.check(run, image)
    jobs = [(run, args.image, args.range, checkpoints) for run in runs]
    digests = set()
    for found in run_jobs(denoising.denoise, jobs, args.jobs, args.scheduler):
        digests |= {row["run"].digest for row in found.rows}
        rows = put_rows(folder / "psnr.csv", found.rows, denoising.COLUMNS, denoising.KEYS, denoising.ORDER)
        draw(found, rows, folder)
    return rows[rows["run"].isin(digests)].groupby("run", sort=False).tail(1)


def draw(found, rows, folder):
    """Write the pictures of one Restored to its own folder."""
    from common.tvae import figures

    run, pictures, own = found.run, found.pictures, folder / denoising.folder_name(found.run)
    denoising.write_restored(own, pictures["tvae"], found.like)
    denoising.add_bm3d(run, pictures, folder)
    scores = denoising.scores(run, rows)
    channels = 3 if pictures["noisy"].ndim == 3 else 1
    title = denoising.title(run, channels)
    figures.before_after(pictures, scores, title, own / "before_after.png")
    figures.curves(rows[rows["run"] == run.digest], scores, run.sigma, title, own / "curves.png")
    units = f"{title}\nmu of single units"
    figures.patch_fields(found.units, (run.patch, run.patch, channels), units, own / "fields.png")


def bars_test(args, folder, checkpoints):
    """Every seed of the bars test; writes bars.csv and figures, and returns the table."""
    recipe = chosen(args, bars.RECIPE)
    jobs = [(bars.BarsRun(recipe, seed=seed), checkpoints) for seed in dict.fromkeys(args.seeds)]
    for row, fields, truth in run_jobs(bars.bars_test, jobs, args.jobs, args.scheduler):
        from common.tvae import figures

        rows = put_rows(folder / "bars.csv", [row], bars.COLUMNS, order=bars.ORDER)
        run = row["run"]
        title = f"bars, seed {run.seed}: what single units make"
        path = folder / f"bars_seed{run.seed}-{run.digest}" / "fields.png"
        figures.bars_fields(fields, truth, bars.SIDE, title, path)
    return rows


def main():
    args = arguments().parse_args()
    if args.task == "bars":
        cli.refuse_unused(args, OF_PICTURES, "with --task bars")
    if not args.image:
        cli.refuse_unused(args, ["--range"], "without --image")
    if not args.warm_stride:
        cli.refuse_unused(args, ["--warm-epochs"], "without --warm-stride")
    folder, checkpoints = args.results_dir / "08_denoise", args.results_dir / "checkpoints"
    rows = {"denoise": denoise, "bars": bars_test}[args.task](args, folder, checkpoints)
    report.write_report(args.results_dir)
    print(rows.drop(columns=["experiment", "trained_at", "evaluated_at"]).to_string(index=False))
    print(f"tables and pictures: {folder}; report: {args.results_dir / 'README.md'}")


if __name__ == "__main__":
    cli.run_script(main)
