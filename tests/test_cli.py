"""Option types, and how scripts end: one line and 2 on bad input, quietly on a closed output."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from common import cli
from common.errors import InputError
from common.names import GENERATED


def test_a_path_that_may_not_be_read_is_one_line(capsys):
    """Root may read all; a name that is too long nobody."""
    with pytest.raises(SystemExit) as end:
        cli.run_script(lambda: Path("a" * 300).is_dir())
    assert end.value.code == 2 and "cannot be used (File name too long)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (cli.class_list, "0-4,7", [0, 1, 2, 3, 4, 7]),
        (cli.class_list, "3", [3]),
        (cli.seed, str(cli.LARGEST_SEED), cli.LARGEST_SEED),
        (cli.positive_int, "12", 12),
        (cli.fraction, "0.5", 0.5),
        (cli.not_negative, "0", 0.0),
        (cli.positive_float, "1e-3", 1e-3),
    ],
)
def test_what_is_read(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (cli.class_list, "4-0", "did you mean 0-4"),
        (cli.class_list, "0-999999999999", "to 9999"),
        (cli.class_list, "", "no whole number"),
        (cli.class_list, "1,,2", "no whole number"),
        (cli.seed, str(2**31), "from 0 to 2147483647"),
        (cli.seed, "9" * 5000, "no whole number"),
        (cli.seed, "-1", "no whole number"),
        (cli.positive_int, "0", "from 1 to 2147483647"),
        (cli.fraction, "1.1", "a fraction"),
        (cli.fraction, "nan", "a fraction"),
        (cli.positive_float, "inf", "a positive number"),
        (cli.not_negative, "x", "a number from 0 up"),
    ],
)
def test_what_is_refused_says_what_is_wanted(kind, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        kind(text)


def call(body, **options):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom common import cli\nfrom common.errors import InputError\n"
    )
    code += f"def main():\n    {body}\ncli.run_script(main)"
    return subprocess.run([sys.executable, "-c", code], text=True, stderr=subprocess.PIPE, **options)


def test_bad_input_is_one_line_and_2():
    done = call("raise InputError('no file: name one')")
    assert (done.returncode, done.stderr) == (2, "error: no file: name one\n")


@pytest.mark.parametrize(
    "body",
    [
        "import numpy; numpy.zeros(10**15)",
        "import tensorflow; tensorflow.zeros(10**15) + 1",
    ],
)
def test_what_does_not_fit_into_memory_is_one_line_and_2(body):
    done = call(body)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: out of memory: ")
    assert "Traceback" not in done.stderr


def test_other_errors_show():
    done = call("raise ZeroDivisionError('mine')")
    assert done.returncode == 1 and "Traceback" in done.stderr and "mine" in done.stderr


def test_an_empty_word_is_no_folder():
    """What a shell makes of a variable that is not set; a path of "" would be the folder that one stands in."""
    parser = cli.Parser("", "")
    parser.add_argument("--dataset")
    for given in (["--dataset", ""], [""], ["--dataset="]):
        with pytest.raises(InputError, match="empty word"):
            parser.parse_args(given)


def test_a_readme_of_ones_own_is_not_written_over(tmp_path):
    parser = cli.Parser("", "")
    parser.add_argument("--results-dir", type=Path)
    parser.parse_args(["--results-dir", str(tmp_path)])
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(InputError, match="README.md is no report of ours"):
        parser.parse_args(["--results-dir", str(tmp_path)])
    (tmp_path / "README.md").write_text(f"# Results\n\n{GENERATED} from the tables.\n")
    parser.parse_args(["--results-dir", str(tmp_path)])


def test_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        done = call("print('a table')", stdout=full)
    assert done.returncode == 2 and done.stderr.startswith("error: the output cannot be written")


def test_a_name_that_no_terminal_can_show_is_shown_otherwise():
    done = call("print('out\\udcff.png')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "out\\udcff.png\n")


def test_an_interrupt_says_how_to_go_on():
    done = call("raise KeyboardInterrupt")
    assert done.returncode == 130 and done.stderr == "interrupted: start the same command again to continue\n"


def test_a_closed_output_ends_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = call("print('x' * 100_000)", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_tensorflow_starts_without_a_word_and_errors_still_show():
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["MPLBACKEND"] = "module://a_notebooks_own_backend"
    body = "import tensorflow, matplotlib.pyplot; print('said', file=sys.stderr)"
    assert call(body, env=environment, stdout=subprocess.PIPE).stderr == "said\n"


BAD = [  # bad input that a script must find before TensorFlow is loaded
    ["02_density.py", "--dataset", "imagenet"],
    ["04_discover_digits.py", "--held-out", "12"],
    ["06_regression.py", "--dataset", "boston", "--data-dir", "."],
    ["07_classification.py", "--dataset", "none.npz"],
    ["08_denoise.py", "--image", "none.png"],
]
SLOW = ["tensorflow", "keras", "matplotlib.pyplot", "GPyOpt"]
SLOW_TOO = ["scipy.stats", "sklearn", "skimage.transform"]  # but data need them


def test_help_and_bad_input_load_nothing_slow(tmp_path):
    """All in one process, in which scripts are called one after the other, first with --help."""
    commands = [[path.name, "--help"] for path in sorted(ROOT.glob("[0-9]*_*.py"))] + BAD
    code = f"""import os, runpy, sys
os.chdir({str(tmp_path)!r})
sys.path.insert(0, {str(ROOT)!r})
for command in {commands!r}:
    sys.argv = command
    try:
        runpy.run_path(os.path.join({str(ROOT)!r}, command[0]), run_name="__main__")
    except SystemExit as ended:
        print("ended", ended.code or 0)
    slow = set({SLOW!r}) | set({SLOW_TOO!r} if "--help" in command else [])
    assert not slow & set(sys.modules), (command, slow & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    ends = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ended")]
    assert ends == ["0"] * (len(commands) - len(BAD)) + ["2"] * len(BAD), done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(BAD) and all(line.startswith("error: ") for line in said)
    for message, line in zip(("unknown data set", "classes 0 to 9, not 12", *["missing"] * 3), said):
        assert message in line
    assert not list(tmp_path.iterdir())
