"""A script that is killed at every stage, and called again each time, ends as if it had never been killed."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, often

MOMENTS = {
    "01_train.py": [
        ("settings.json", "after"),  # the run's own record: nothing is trained yet
        (r"epoch\d+.npz", "before"),
        (r"epoch\d+.npz", "during"),
        (r"epoch\d+.npz", "after"),  # weights without their progress
        ("progress.json", "after"),
        ("training.csv", "during"),
        ("training.csv", "after"),
        ("reconstructions.png", "during"),
    ],
    # Training is the same code: what 01 stands.
    "06_regression.py": [
        (r"epoch\d+.npz", "after"),
        ("table1.csv", "before"),  # records of rows that are not there
        ("figure2.csv.gz", "during"),  # figure2.csv is there
        ("summary.csv", "during"),
    ],
    "08_denoise.py": [
        (r"epoch\d+.npz", "after"),
        ("psnr.csv", "during"),
        ("restored.png", "during"),
        ("README.md", "during"),
    ],
}


OPTIONS = {  # of short runs
    "01_train.py": ["--model", "vae", "--iterations", 230, "--batch-size", 20],
    "06_regression.py": ["--method", "sgd", "--epochs", 30, "--splits", 2],
    "08_denoise.py": [
        *("--epochs", 12, "--half-cycle", 2, "--patch", 6, "--stride", 3),
        *("--latent-dim", 12, "--hidden", 12, "--states", 16),
    ],
}


def tables(folder):
    """Every table, without the time that it took."""
    found = {path.relative_to(folder): pd.read_csv(path) for path in folder.glob("0*/*.csv")}
    return {path: table[[name for name in table if "seconds" not in name]] for path, table in found.items()}


@pytest.fixture(scope="module")
def call_and_kill(tmp_path_factory):
    """call_and_kill(pattern, moment, script, *options): the exit code, and what was said, see killing.py."""
    said = tmp_path_factory.mktemp("killed") / "stderr"
    command, pipe = [sys.executable, ROOT / "tests" / "killing.py"], subprocess.PIPE
    with (
        said.open("a") as stderr,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True) as server,
    ):

        def ask(*line):
            said.open("w").close()
            print(json.dumps(line), file=server.stdin, flush=True)
            return int(server.stdout.readline()), said.read_text()

        yield ask
        server.stdin.close()


@pytest.mark.parametrize("script", often("01_train.py", "08_denoise.py", rest=MOMENTS))
def test_killed_at_every_stage(script, tmp_path, call_and_kill, on_own_data):
    options = [*map(str, on_own_data(script) + OPTIONS[script])]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # Whole runs are made where the killed ones are: what is compiled, or not, elsewhere rounds otherwise.
    code, said = call_and_kill("nothing", "", script, *options, "--results-dir", str(whole))
    assert code == 0, said[-1000:]
    for pattern, moment in MOMENTS[script]:
        code, said = call_and_kill(pattern, moment, script, *options, "--results-dir", str(killed))
        assert code == -9, (pattern, moment, said[-1000:])
    code, said = call_and_kill("nothing", "", script, *options, "--results-dir", str(killed))
    assert code == 0, said[-1000:]
    expected, found = tables(whole), tables(killed)
    assert expected and found.keys() == expected.keys()
    for path, table in expected.items():
        pd.testing.assert_frame_equal(found[path], table)
    names = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in (killed, whole)]
    assert names[0] == names[1]  # nothing is left over, nothing is missing
