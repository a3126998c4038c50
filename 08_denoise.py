"""Zero-shot denoising, inpainting and the bars test by a binary-latent VAE (TVAE, Drefs et al. 2022).

One image is all the data: nothing clean, no training set.
"""

from pathlib import Path

from common import cli, report
from common.errors import InputError
from common.runs.jobs import run_jobs
from common.runs.results import COMMITS, put_rows
from common.tvae import bars, budget, denoising, inputs, options, outputs, patches
from common.tvae.recipe import Recipe

SIGMA = 25.0  # where nothing is said
CHOSEN = ("stride", "warm_stride", "states", "batch_size", "epochs")  # by --minutes
EXAMPLES = """examples:
  python 08_denoise.py --image scan.jpg --output clean.png --minutes 5    restore your own picture
  python 08_denoise.py --image scan.jpg --output clean.png --mask marks.png    scratches are white in marks.png
  python 08_denoise.py                                       measure: noise is added to a crop of china.jpg
  python 08_denoise.py --image house.png --sigma 25 --epochs 200
  python 08_denoise.py --image house.png --inpaint 0.5 --sigma 0 --half-cycle 20
  python 08_denoise.py --task bars --seeds 0 1 2 3 4         known truth: eight bars

The noise level is never told to the model. With --output, --mask or --noisy the image is taken as it is, and there is
no PSNR, unless --sigma says what noise to add to it (0: none, and the image counts as clean).

Writes RESULTS_DIR/08_denoise/psnr.csv (bars.csv), and for each run a folder with its pictures; what was interrupted
goes on where it was. Estimates are best at the end of a learning-rate cycle: let --epochs be a multiple of
2 x --half-cycle."""
# Options that the bars test, whose data it draws itself, has no use for.
OF_PICTURES = ["--image", "--range", "--sigma", "--noisy", "--inpaint", "--patch", "--stride"]
OF_PICTURES += ["--warm-stride", "--warm-epochs", "--output", "--mask", "--minutes"]


def arguments():
    parser = cli.Parser(__doc__, EXAMPLES)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--task", choices=("denoise", "bars"), default="denoise", help="an image (default), or the bars test"
    )
    image = "PNG, JPEG or TIFF of any depth, grey or colour; or china or camera, crops that come with scikit-learn and"
    data.add_argument("--image", type=Path, default=Path("china"), help=image + " scikit-image (china)")
    data.add_argument(
        "--output", type=Path, help="write the restored picture there: .png or .tif, of the image's depth"
    )
    mask = "picture of the image's size, white where pixels are missing: scratches, text; or the word text: lines of it"
    data.add_argument("--mask", type=Path, help=mask)
    span = "the file's numbers for black and white, where its type does not say them"
    data.add_argument("--range", type=float, nargs=2, metavar=("BLACK", "WHITE"), help=span)
    noise = data.add_mutually_exclusive_group()
    sigma = "standard deviation of the noise to add, where white is 255 (25)"
    noise.add_argument("--sigma", type=cli.not_negative, help=sigma)
    noise.add_argument("--noisy", action="store_true", help="the image is noisy already: add none")
    data.add_argument("--inpaint", type=cli.fraction, default=0.0, help="fraction of pixels that are missing (0)")
    restarts = "bars: trainings of a seed, of which the highest bound counts (3)"
    data.add_argument("--restarts", type=cli.positive_int, default=3, help=restarts)
    start = f"bars: the model's sigma^2, to begin with ({bars.FIRST_VARIANCE:g})"
    data.add_argument("--first-variance", type=cli.positive_float, default=bars.FIRST_VARIANCE, help=start)
    cli.add_run_options(parser.add_argument_group("runs"))
    cut = parser.add_argument_group("patches")
    side = f"side of a patch ({denoising.PATCH})"
    cut.add_argument("--patch", type=cli.positive_int, default=denoising.PATCH, help=side)
    cut.add_argument("--stride", type=cli.positive_int, help="of the patches (half a patch)")
    cut.add_argument("--warm-stride", type=cli.positive_int, default=0, help="train at this coarser stride first (no)")
    cut.add_argument("--warm-epochs", type=cli.positive_int, default=100, help="of that training (100)")
    model = parser.add_argument_group("model and training")
    minutes = "choose stride, states, batch size and epochs for this time a seed, by a short measurement that is kept"
    model.add_argument("--minutes", type=cli.minutes, help=minutes)
    options.add_recipe_options(model)
    return parser


def denoise(args, folder, checkpoints):
    """Every seed of one image; writes psnr.csv and the pictures, and returns the table."""
    picture, name = inputs.load(args.image, args.range)
    image, seeds = picture.pixels, list(dict.fromkeys(args.seeds))
    missing = None if args.mask is None else inputs.load_mask(args.mask, image.shape)
    if args.output:
        outputs.check_output(args.output, {"--image": args.image, "--mask": args.mask}, picture)
        if len(seeds) > 1:
            raise InputError("--output is one picture: give one --seed")
    print("\n".join(picture.notes), end="\n" * bool(picture.notes))
    as_it_is = args.sigma is None and (args.noisy or args.output or args.mask)
    sigma = None if as_it_is else SIGMA if args.sigma is None else args.sigma
    cut = dict(patch=args.patch, stride=args.stride or denoising.half(args.patch), sigma=sigma, inpaint=args.inpaint)
    cut |= {"warm_stride": args.warm_stride, "warm_epochs": args.warm_epochs, "recipe": options.chosen(args, Recipe())}
    shared = dict(image=name, fingerprint=patches.fingerprint(image), mask=denoising.mask_fingerprint(missing), **cut)
    runs = [denoising.DenoisingRun(**shared, seed=seed) for seed in seeds]
    for run in runs:
        denoising.check(run, image, missing)
    if args.minutes:
        given = [name for name in CHOSEN if getattr(args, name)]
        if given:
            raise InputError(f"--minutes chooses --{given[0].replace('_', '-')}: leave one of them out")
        runs, words = budget.runs_for(args.minutes, runs, image, checkpoints)
        print(f"--minutes {args.minutes:g}: {words}")
    jobs = [(run, args.image, args.range, args.mask, checkpoints) for run in runs]
    digests = set()
    for found in run_jobs(denoising.denoise, jobs, args.jobs, args.scheduler):
        print("".join(f"warning: {text}\n" for text in found.warnings), end="")
        if args.output:
            outputs.write_picture(args.output, found.pictures["tvae"], found.like)
        digests |= {row["run"].digest for row in found.rows}
        rows = put_rows(folder / "psnr.csv", found.rows, outputs.COLUMNS, outputs.KEYS, outputs.ORDER)
        outputs.draw(found, rows, folder)
    return rows[rows["run"].isin(digests)].groupby("run", sort=False).tail(1)


def bars_test(args, folder, checkpoints):
    """Every seed of the bars test; writes bars.csv and figures, and returns the table."""
    recipe = options.chosen(args, bars.RECIPE)
    seeds = dict.fromkeys(args.seeds)
    shared = dict(recipe=recipe, restarts=args.restarts, first_variance=args.first_variance)
    jobs = [(bars.BarsRun(**shared, seed=seed), checkpoints) for seed in seeds]
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
    else:
        cli.refuse_unused(args, ["--restarts", "--first-variance"], "without --task bars")
    if str(args.image) in inputs.BUILT_IN:
        cli.refuse_unused(args, ["--range"], f"of {args.image}, whose range is known")
    if not args.warm_stride:
        cli.refuse_unused(args, ["--warm-epochs"], "without --warm-stride")
    folder, checkpoints = args.results_dir / "08_denoise", args.results_dir / "checkpoints"
    rows = {"denoise": denoise, "bars": bars_test}[args.task](args, folder, checkpoints)
    print(rows.drop(columns=["experiment", *COMMITS]).to_string(index=False))
    print(f"the restored picture: {args.output}\n" * bool(args.output), end="")
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
