"""An option that was given is followed by what was asked for, or it is refused in one line."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, assert_refused

from common import cli
from common.errors import InputError

MODELS = "in the models that were asked for"
UNUSED = [
    ("01_train.py --model vae --summary mean", f"--summary changes nothing {MODELS}"),
    ("01_train.py --model vae --tasks-per-step 5", f"--tasks-per-step changes nothing {MODELS}"),
    ("01_train.py --model metavae cvae --hyper-latent-dim 3", f"--hyper-latent-dim changes nothing {MODELS}"),
    ("01_train.py --generator concatenation --change-scale 1", f"--change-scale changes nothing {MODELS}"),
    ("01_train.py --model vae --generate bias", f"--generate changes nothing {MODELS}"),
    ("01_train.py --model vae metavae --targets others", f"--targets changes nothing {MODELS}"),
    ("01_train.py --targets others --tasks-per-step 100", "--targets others needs two images of a task a step"),
    ("02_density.py --tables 2 3 --iterations 5", "--iterations changes nothing in Tables 2 and 3"),
    ("02_density.py --tables 3 --jobs 2", "--jobs changes nothing in Tables 2 and 3"),
    ("02_density.py --tables 1 --model vae --rank 3", f"--rank changes nothing {MODELS}"),
    ("02_density.py --tables 1 --model vae --fit-u 9", f"--fit-u changes nothing {MODELS}"),
    ("02_density.py --tables 2 --targets others", "--targets changes nothing in Tables 2 and 3"),
    ("02_density.py --tables 2 --fit-u 9", "--fit-u changes nothing in Tables 2 and 3"),
    ("03_outliers.py --model vae metavae --fit-u 9", f"--fit-u changes nothing {MODELS}"),
    ("02_density.py --num-importance-samples 0 --num-nll-images 9", "--num-nll-images changes nothing"),
    *[
        (f"03_outliers.py --score pile {option}", f"{option.split()[0]} changes nothing with --score")
        for option in (
            "--outlier-fraction 0.1",
            "--num-bootstrap 9",
            "--jobs 2",
            "--scheduler tcp://a:1",
            "--fit-u 9",
            "--scores usual",
        )
    ],
    ("03_outliers.py --max-false-positive-rate 0.1", "--max-false-positive-rate changes nothing without --score"),
    ("03_outliers.py --model vae --generator block", f"--generator changes nothing {MODELS}"),
    ("03_outliers.py --score pile.npz --model vae --generator block", f"--generator changes nothing {MODELS}"),
    ("03_outliers.py --model vae --tasks auto", "--tasks changes nothing with --model vae"),
    ("03_outliers.py --model metavae --scores usual combined", "--scores combined is of vae and hypervae"),
    ("03_outliers.py --model hypervae --scores task_mixture --fit-u 9", "--fit-u changes nothing with --scores task"),
    ("04_discover_digits.py --target-index 3 --num-targets 2", "--num-targets changes nothing with --target-index"),
    ("04_discover_digits.py --generator concatenation --rank 3", f"--rank changes nothing {MODELS}"),
    ("05_discover_alloys.py --make-data --evaluations 9", "--evaluations changes nothing with --make-data"),
    ("05_discover_alloys.py --make-data --tdb a.tdb --seeds 0 1", "--make-data takes one --seed, not 2"),
    ("05_discover_alloys.py --compare likelihoods --fit-u 9", "--fit-u changes nothing with --compare"),
    ("05_discover_alloys.py --data-dir data", "--data-dir changes nothing without --make-data"),
    ("05_discover_alloys.py --alloys-per-class 9", "--alloys-per-class changes nothing without --make-data"),
    ("05_discover_alloys.py --compare regressors --iterations 9", "--iterations changes nothing with --compare"),
    ("05_discover_alloys.py --compare regressors --likelihood multinomial", "--likelihood changes nothing with"),
    ("05_discover_alloys.py --compare likelihoods --regressor mlp", "--regressor changes nothing with"),
    ("05_discover_alloys.py --calphad-evaluations 9", "--calphad-evaluations changes nothing without"),
    ("05_discover_alloys.py --generator concatenation --rank 3", f"--rank changes nothing {MODELS}"),
    ("06_regression.py --method sgd --spread 0.2", f"--spread changes nothing {MODELS}"),
    ("06_regression.py --method sgd --hyper-units 9 9", f"--hyper-units changes nothing {MODELS}"),
    ("06_regression.py --target y", "--target changes nothing for sets that come by name"),
    ("06_regression.py --missing drop", "--missing changes nothing without a .csv"),
    ("06_regression.py --splits 21", "--splits 21 is more than the 20 of diabetes"),
    ("07_classification.py --method sgd --generator dense", f"--generator changes nothing {MODELS}"),
    ("07_classification.py --method sgd --num-samples 3", f"--num-samples changes nothing {MODELS}"),
    ("07_classification.py --batch-size 9999", "--batch-size 9999 is more than the"),
    ("08_denoise.py --task bars --sigma 9", "--sigma changes nothing with --task bars"),
    ("08_denoise.py --warm-epochs 9", "--warm-epochs changes nothing without --warm-stride"),
    ("08_denoise.py --range 0 1", "--range changes nothing of china"),
    ("09_new_tasks.py --table told --folds 0", "--folds changes nothing without --table unseen"),
    ("09_new_tasks.py --table told --ranks 3", "--ranks changes nothing without --table generate"),
    ("09_new_tasks.py --table generate --clusters 9", "--clusters changes nothing without --table told"),
    ("09_new_tasks.py --num-characters 9", "--num-characters changes nothing without --table characters"),
    ("09_new_tasks.py --table characters --dataset mnist", "--dataset changes nothing with --table characters alone"),
    ("09_new_tasks.py --table generate --num-importance-samples 9", "--num-importance-samples changes nothing with"),
    ("09_new_tasks.py --peer vae hypervae --clusters 9", "--clusters changes nothing without --peer cvae_clusters"),
    ("09_new_tasks.py --table told --peer vae decoder", "--peer decoder is no model of table told"),
    ("09_new_tasks.py --table generate --peer bias --ranks 3", "--ranks changes nothing without --peer hypervae"),
    ("09_new_tasks.py --peer vae vae_wide --targets others", f"--targets changes nothing {MODELS}"),
    ("01_train.py --export seven.keras", "--export changes nothing without --adapt"),
    ("01_train.py --adapt pile.npz --pack packed", "--pack changes nothing with --adapt"),
    (
        "01_train.py --adapt pile.npz --pretrained mnist --iterations 3",
        "--iterations changes nothing with --pretrained",
    ),
    ("01_train.py --adapt pile.npz --generator concatenation --rank 5", f"--rank changes nothing {MODELS}"),
    ("01_train.py --model vae --tasks 3", "--tasks changes nothing with --model vae"),
    (
        "01_train.py --adapt pile.npz --pretrained mnist --image-size 20",
        "--image-size changes nothing where --adapt is",
    ),
    ("01_train.py --tasks 3 --batch-size 50", "--batch-size 50 is no multiple of"),
    ("01_train.py --tasks auto --targets others", "--targets others needs many images of each: leave one out"),
    ("03_outliers.py --outlier-fraction 1e308 --normal-classes 0", "change --outlier-fraction"),
    ("03_outliers.py --model vae metavae --scores combined", "--scores combined has none of metavae"),
    ("03_outliers.py --model vae cvae", "--scores usual has none of cvae: add task_mixture"),
    (
        "03_outliers.py --tasks 4 --model hypervae --generator concatenation --rank 7",
        f"--rank changes nothing {MODELS}",
    ),
    ("10_compress.py pack pile.npz out.hvz --dataset digits --model vae --rank 3", f"--rank changes nothing {MODELS}"),
    ("06_regression.py --predict new.csv --splits 3", "--splits changes nothing with --predict"),
    ("07_classification.py --max-error 0.1", "--max-error changes nothing without --predict"),
    ("07_classification.py --predict pile.npz --ood none", "--ood changes nothing with --predict"),
    ("09_new_tasks.py --vector-scale 9", "hypervae and hypervae_tuned one model: choose one of them by --peer"),
]


@pytest.mark.parametrize(("command", "message"), UNUSED, ids=[command for command, _ in UNUSED])
def test_what_changes_nothing_is_refused(tmp_path, monkeypatch, call, command, message):
    monkeypatch.chdir(tmp_path)
    np.savez("pile.npz", x=np.zeros((3, 28, 28)))
    script, *options = command.split()
    assert_refused(call(script, *options), message)
    assert [path.name for path in tmp_path.iterdir()] == ["pile.npz"]  # nothing was begun


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("[0-9]*_*.py")))
def test_jobs_and_a_scheduler_exclude_each_other(call, script):
    done = call(script, "--jobs", 2, "--scheduler", "tcp://a:1")
    assert done.returncode == 2 and "--scheduler: not allowed with argument --jobs" in done.stderr


def parsed(*arguments):
    parser = cli.Parser("", "")
    parser.add_argument("--kind", default="plain")
    parser.add_argument("--sizes", "--size", type=int, nargs="+", default=[3])
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args(arguments)


def test_what_was_given_is_known_even_where_it_is_the_default():
    assert parsed().given == ()
    args = parsed("--size", "3", "--quick", "--kind=plain")
    assert args.given == ("--kind", "--sizes", "--quick") and (args.kind, args.sizes, args.quick) == (
        "plain",
        [3],
        True,
    )


@pytest.mark.parametrize("sizes", [3, 5, (3, 5)])
def test_an_option_that_one_run_follows_stands(sizes):
    args = parsed("--size", "3", "5")
    runs = [SimpleNamespace(sizes=0), SimpleNamespace(sizes=sizes), SimpleNamespace()]
    cli.refuse_unfollowed(args, ["sizes"], runs)
    cli.refuse_unfollowed(args, ["kind"], runs)  # it was not given
    with pytest.raises(InputError, match="--sizes changes nothing"):
        cli.refuse_unfollowed(args, ["sizes"], runs[::2])
