"""Alloy discovery (section 4.5, Figure 3b and Table 5): search for an unseen aluminium alloy among phase diagrams."""

import functools
import itertools
from pathlib import Path

from common import cli, report
from common.discovery import (
    alloy_report,
    alloy_search,
    alloy_trials,
    alloys,
    design_report,
    designs,
    runs,
    search_report,
)
from common.discovery.alloy_making import chosen_limits, make_data
from common.discovery.alloy_options import REFUSED, add_alloy_options, check_alloys, check_use
from common.discovery.options import add_search_options, check_search, search_settings
from common.hypervae.options import add_fit_u, parser
from common.hypervae.runs import refuse_unfollowed, settings_for, trained
from common.runs import results, storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 05_discover_alloys.py --held-out 2219                  one class of the alloys that ship with the repository
  python 05_discover_alloys.py --tdb FILE.tdb --jobs 2          the ten hardest classes; Table 5 with column B
  python 05_discover_alloys.py --make-data --alloys-per-class 500 --tdb FILE.tdb --jobs 2
  python 05_discover_alloys.py --alloys DATA/alloys/computed --tdb FILE.tdb --through-calphad --held-out 2219
  python 05_discover_alloys.py --tdb FILE.tdb --spec examples/specifications/extrusion.toml    alloys within your limits

--make-data computes phase diagrams with pycalphad into DATA/alloys/computed, one file a class; cut off, it goes on.
For each held-out class a VAE and a HyperVAE train on the other classes; then every method searches their designs for
that class's mean diagram. Writes RESULTS_DIR/05_discover_alloys/figure3b.csv (and .csv.gz), table5.csv, bounds.csv (the
least distances that gradients found), summary.csv, paired.csv, inverse_map.csv, likelihoods.csv, figures, and
RESULTS_DIR/README.md. With --spec models of all classes look for alloys that keep limits on elements, melting and
phases: alloys.csv has them ranked, each judged by CALPHAD, and designs.csv compares the searches. The alloys were made
from mc_al v2.032 (MatCalc, TU Wien), ODbL 1.0."""


def compute_data(args):
    """Compute the data set, and compare melting ranges with handbooks."""
    limits = chosen_limits(args.tdb, args.limits or args.data_dir / "alloys" / "alloy_limits.csv", args.held_out)
    folder = args.data_dir / "alloys" / "computed"
    jobs = (args.jobs, args.scheduler, args.pack)
    make_data(args.tdb, limits, args.alloys_per_class, args.seeds[0], folder, *jobs)


def try_likelihood(job):
    """The row of likelihoods.csv of one training."""
    from common.hypervae.density import Evaluation, evaluate

    args, source, likelihood, settings = job
    data = alloys.load(source)
    dataset = alloys.as_dataset(data, likelihood)
    evaluation = Evaluation(settings, "test")

    def measures():
        run = trained(args, settings, dataset)
        lengths = evaluate(run.model, *dataset.part(evaluation.evaluate_on), **evaluation.options())
        errors = alloy_trials.decoding_errors(run.model, data)
        commits = {"trained_at": run.trained_at, "evaluated_at": storage.commit()}
        return {"neg_elbo": float(lengths["neg_elbo"])} | errors | commits

    path = settings.folder(args.results_dir / "checkpoints") / f"decoding-{evaluation.digest}.json"
    cells = {name: getattr(settings, name) for name in ("model", "seed", "iterations", "recipe")}
    cells |= {"run": evaluation, "dataset": data.name, "likelihood": likelihood}
    return cells | storage.made_once(path, measures)


def compare_regressors(args, loaded, folder):
    """Write inverse_map.csv, on rows and on whole classes not seen."""
    jobs = alloy_trials.regressor_jobs(args, loaded)
    found = run_jobs(alloy_trials.try_regressor, jobs, args.jobs, args.scheduler)
    rows = [row for part in found for row in part]
    return results.put_rows(folder / "inverse_map.csv", rows, alloy_trials.INVERSE_MAP, ["held_out"])


def compare_likelihoods(args, loaded, folder):
    """Write likelihoods.csv, on test alloys of known classes: of all likelihoods, or the one that was asked for."""
    jobs = []
    models = ("vae", "hypervae") if "all" in args.model else dict.fromkeys(args.model)
    likelihoods = [args.likelihood] if "--likelihood" in args.given else alloys.BODIES
    for (source, data), likelihood in itertools.product(loaded.items(), likelihoods):
        dataset = alloys.as_dataset(data, likelihood)
        for model, recipe, seed in itertools.product(models, args.recipe, args.seeds):
            jobs.append((args, source, likelihood, settings_for(args, dataset, model, recipe, seed)))
    refuse_unfollowed(args, [settings for *_, settings in jobs])
    rows = list(run_jobs(try_likelihood, jobs, args.jobs, args.scheduler))
    return results.put_rows(folder / "likelihoods.csv", rows, alloy_trials.LIKELIHOODS)


def planned(args, loaded):
    """The jobs that the options ask for."""
    jobs = []
    for source, data in loaded.items():
        for designation in alloys.asked_for(args.held_out, data, args.start):
            rest = alloys.rest_as_dataset(data, designation, args.likelihood)
            for recipe, seed in itertools.product(args.recipe, args.seeds):
                models = {model: settings_for(args, rest, model, recipe, seed) for model in ("vae", "hypervae")}
                where = (functools.partial(trained, args), args.results_dir / "checkpoints", args)
                search = search_settings(args, seed)
                jobs.append(alloy_search.job_for(source, data, designation, models, search, *where))
    refuse_unfollowed(args, [model for job in jobs for model in job.models])
    return jobs


def search_held_out(args, loaded, folder):
    """Search for each class that is held out; write Figure 3b and Table 5."""
    discovered = runs.search_all(alloy_search.discover, planned(args, loaded), args.jobs, args.scheduler)
    protocols, table5 = alloy_search.write_tables(folder, *alloy_search.table_rows(discovered))
    for protocol in protocols:
        own = [part for part in discovered if part[0].record.digest in set(protocol.bounds["run"])]
        if own:
            alloy_report.draw(protocol, own, loaded, folder)
            print(f"{protocol.title}\n{search_report.discovery_table(protocol.summary, 'alloy')}")
    print(alloy_report.table5(table5, results.read_records(folder / "table5.csv")))


def answer_specifications(args, loaded, folder):
    """Alloys that keep each specification, ranked, and how the searches for them compare."""
    ((source, data),) = loaded.items()
    asked = designs.read_specifications(args.spec, args.tdb)
    jobs = []
    whole = alloys.as_dataset(data, args.likelihood)
    for wanted, seed in itertools.product(asked, dict.fromkeys(args.seeds)):
        models = {model: settings_for(args, whole, model, args.recipe[0], seed) for model in ("vae", "hypervae")}
        where = (functools.partial(trained, args), args.results_dir / "checkpoints")
        jobs += designs.jobs_for(source, data, wanted, dict.fromkeys(args.search_by), models, args, seed, *where)
    refuse_unfollowed(args, [model for job in jobs for model in job.models])
    found = runs.search_all(designs.search, jobs, args.jobs, args.scheduler)
    rows = [design_report.table_row(*part) for part in found]
    results.put_rows(folder / "designs.csv", rows, design_report.DESIGNS, order=["specification", "method", "seed"])
    for wanted in asked:
        own = [part for part in found if part[0].record.specification.digest == wanted.digest]
        print(design_report.answer(own, data, args.tdb, folder))


def main():
    data_help = "an .npz of phase matrices, or a folder of them as --make-data writes (30 classes of 100 that ship)"
    models = "of --compare likelihoods; searches need VAE and HyperVAE"
    p = parser(__doc__, EXAMPLES, "--alloys", data_help, models, iterations="1500", hidden=REFUSED)
    p.set_defaults(dataset=[alloys.SHIPPED], iterations=1500, binarize="none")
    search = add_search_options(p, "300; with --spec 100")
    add_fit_u(search)
    add_alloy_options(p, search)
    args = p.parse_args()
    check_use(args)
    if args.make_data:
        compute_data(args)
        return
    if args.compare != "likelihoods":  # which searches nothing, and takes one model as well
        check_search(args)
    check_alloys(args)
    loaded = {Path(source): alloys.load(source, args.tdb, least=1 if args.spec else 2) for source in args.dataset}
    folder = args.results_dir / "05_discover_alloys"
    if args.compare:
        comparison = {"regressors": compare_regressors, "likelihoods": compare_likelihoods}[args.compare]
        print(comparison(args, loaded, folder).to_string())
    elif args.spec:
        answer_specifications(args, loaded, folder)
    else:
        search_held_out(args, loaded, folder)
    report.finish(folder)


if __name__ == "__main__":
    cli.run_script(main)
