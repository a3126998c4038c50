"""A page to walk in the space of VAEs: one HTML file with a trained HyperVAE in it, opened by a double click."""

import argparse

from common import cli, report
from common.errors import InputError
from common.hypervae import options
from common.hypervae.runs import load_data, planned_runs, settings_for, trained
from common.names import is_file_name
from common.runs import storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 11_explore.py --dataset mnist --data-dir DATA            seconds: trained weights come with the repository
  python 11_explore.py --dataset mnist --data-dir DATA --screenshot
  python 11_explore.py --iterations 1000                          scikit-learn's digits; trains what is missing, minutes
  python 11_explore.py --dataset photos.npz --seeds 0 1 --jobs 2

On the page u is dragged over a map of the tasks, and the whole VAE changes; images drawn there get a VAE of their own.
Writes RESULTS_DIR/11_explore/NAME/explorer.html (and explorer.png, the page's first screen, with --screenshot), and
RESULTS_DIR/README.md. NAME is the data set's; with other settings than the defaults, or of your own files, the run's
digest stands behind it."""

LARGEST = 5_000_000  # bytes of a page, which those of 28 x 28 pixels stay below


def ready(args, settings, data):
    """A trained model: one that comes with the repository, or else a run of the results folder, trained if missing."""
    from common.hypervae import pretrained

    return pretrained.packed_model(settings) or trained(args, settings, data)


def train(job):
    args, settings, name = job
    ready(args, settings, load_data(args, name))
    return settings.model


def write_page(args, data, hyper, plain, folder):
    from common.hypervae.explorer import browser, page

    text = page.html(hyper, plain, data)
    path = folder / "explorer.html"
    storage.write_settings(
        folder / "settings.json", {run.settings.digest: run.settings.stored() for run in (hyper, plain)}
    )
    storage.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    size = len(text.encode())
    print(f"{path}: {size / 1e6:.1f} MB", flush=True)
    if size > LARGEST:
        height, width, _ = data.image_shape
        print(f"note: larger than {LARGEST / 1e6:.0f} MB, and slower ({height} x {width} pixels, or larger networks)")
    if args.screenshot:
        storage.write_atomically(folder / "explorer.png", lambda temporary: browser.screenshot(path, temporary))


def folder_of(args, defaults, data, settings):
    """Where a run's page is written."""
    usual = settings_for(defaults, data, "hypervae", *defaults.recipe, *defaults.seeds)
    plainly = settings.digest == usual.digest and not is_file_name(data.name)
    return args.results_dir / "11_explore" / (data.name if plainly else f"{data.name}-{settings.digest}")


def main():
    parser = options.parser(__doc__, EXAMPLES, hidden=("--model",))
    picture = "also write a picture of the page; needs chromium"
    parser.runs.add_argument("--screenshot", action="store_true", help=picture)
    args, defaults = parser.parse_args(), parser.parse_args([])
    if args.model != ["all"]:
        raise InputError("the page holds a HyperVAE, and a VAE to compare it with: leave --model out")
    if args.screenshot:
        from common.hypervae.explorer import browser

        browser.path()
    args = argparse.Namespace(**vars(args) | {"model": ["vae", "hypervae"]})
    loaded, jobs = planned_runs(args)
    list(run_jobs(train, jobs, args.jobs, args.scheduler))
    for (_, plain, name), (_, hyper, _) in zip(jobs[::2], jobs[1::2]):
        data = loaded[name]
        runs = [ready(args, settings, data) for settings in (hyper, plain)]
        write_page(args, data, *runs, folder_of(args, defaults, data, hyper))
    report.write_report(args.results_dir)


if __name__ == "__main__":
    cli.run_script(main)
