import atexit
import functools
import gc
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "TF_XLA_FLAGS" not in os.environ:
    # Scripts are called again and again: what XLA has compiled for one process serves the others, those of xdist too.
    compiled = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={compiled}"
gc.set_threshold(50_000, 20, 50)  # TensorFlow's graphs are many objects, which are looked through again and again
# No test fails because the machine is busy.
unhurried = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("busy", deadline=None, suppress_health_check=unhurried)
settings.load_profile("busy")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DATA = Path(os.environ.get("HYPERVAE_DATA", ROOT.parent / "shared" / "data"))
ALLOYS = DATA / "alloys"
TDB = ALLOYS / "mc_al_v2.032.pycalphad.tdb"
needs_tdb = pytest.mark.skipif(not TDB.exists(), reason=f"no thermodynamic database at {TDB}")


def often(*values, rest):
    """Values of a parametrized test: these in `make test`, what else `rest` holds in `make checks`."""
    rest = [value if isinstance(value, tuple) else (value,) for value in rest if value not in values]
    return [*values, *(pytest.param(*own, marks=pytest.mark.slow) for own in rest)]


@pytest.fixture(autouse=True)
def one_seed():
    """Initial weights do not differ between runs of the tests (where TensorFlow is loaded at all)."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


def assert_refused(done, message=""):
    """Bad input ends with one line that says so, and exit code 2."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr, (
        done.stderr[-2000:]
    )


@pytest.fixture(scope="module")
def digits_8x8(tmp_path_factory):
    """scikit-learn's digits as a user's own file, at their own 8 x 8."""
    bunch = load_digits()
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x=bunch.images / 16, y=bunch.target)
    return path


@pytest.fixture
def small_networks(monkeypatch):
    """Networks of few units: what is tested is the same, and it takes a fraction of the time."""
    from hypervae.toy import BODIES, SMALL_BODIES

    for name, body in SMALL_BODIES.items():
        monkeypatch.setitem(BODIES, name, body)


@pytest.fixture
def small_convolutions(small_networks, monkeypatch):
    """The convolutions that users have, of few filters, where these matter: files and pages that hold them."""
    from hypervae.toy import BODIES, SmallConvBody

    monkeypatch.setitem(BODIES, "conv", SmallConvBody)


@pytest.fixture
def uncompiled(monkeypatch):
    """The same programs as plain TensorFlow graphs."""
    from hypervae.toy import plain_function, tf

    monkeypatch.setattr(tf, "function", plain_function(tf.function))


@pytest.fixture
def untraced_trainings(monkeypatch):
    """Trainings of a few steps, which are neither compiled nor traced, without the held-out curve."""
    import keras

    from common.hypervae import training

    compile_model = keras.Model.compile

    def compile_nothing(model, **options):
        compile_model(model, **(options | {"jit_compile": False, "steps_per_execution": 1, "run_eagerly": True}))

    monkeypatch.setattr(keras.Model, "compile", compile_nothing)
    monkeypatch.setattr(training, "held_out_curve", lambda model, data, total: lambda epoch: {})


@functools.cache
def plain_programs():
    """Those of searches, {name: method of a Family}; made once, so that each is traced once for a family."""
    from common.discovery.families import Family

    names = ("_decode", "_encode", "_fitted_u", "_distance_and_gradient")
    return {name: sys.modules["tensorflow"].function(getattr(Family, name).python_function) for name in names}


@pytest.fixture
def uncompiled_searches(monkeypatch):
    """The programs of searches for designs as plain TensorFlow graphs."""
    from common.discovery.families import Family

    for name, program in plain_programs().items():
        monkeypatch.setattr(Family, name, program)


@pytest.fixture
def rough_figures(monkeypatch):
    """Figures of scripts are small, and drawn where they fall: to lay them out takes longer. Tests of figures do it."""
    from matplotlib.figure import Figure

    savefig = Figure.savefig
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", lambda engine, figure: None)
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: savefig(figure, path, dpi=25))


@pytest.fixture
def call(monkeypatch, capsys, rough_figures):
    """call(script, *options) runs a script as a user does, but in this process: its exit code and output."""

    def call_script(script, *options):
        monkeypatch.setattr(sys, "argv", [script, *map(str, options)])
        code = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err)

    return call_script


@pytest.fixture
def write_npz(tmp_path):
    """write_npz(name, seed=0, images=150) writes noisy bars of two classes, 8 x 8, as a user's own file."""

    def write(name, seed=0, images=150, height=8):
        y = np.arange(images) % 2
        x = (np.random.default_rng(seed).random((images, height, 8)) < 0.1).astype(float)
        x[np.arange(images), :, 2 * y + 1] = 1
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=x, y=y)
        return path

    return write


@pytest.fixture
def on_own_data(tmp_path, write_npz):
    """on_own_data(script, stem="own") writes a user's own file and gives the options with which a script reads it."""

    def options(script, stem="own"):
        if script.startswith("06"):
            table = np.random.default_rng(0).random((40, 3))
            path = tmp_path / f"{stem}.csv"
            np.savetxt(path, table, delimiter=",", header="a,b,price", comments="")
            return ["--dataset", path, "--target", "price"]
        if script.startswith("08"):
            # Something to learn: the SSIM of a picture of noise is rounding alone.
            path = tmp_path / f"{stem}.png"
            Image.fromarray(load_sample_image("flower.jpg")[100:142:2, 300:352:2]).save(path)
            return ["--image", path]
        return ["--normal" if script.startswith("03") else "--dataset", write_npz(f"{stem}.npz", images=300)]

    return options


def drawings(seed, number=4):
    """Drawings of a character as few-shot Omniglot has them; ink always in the upper left corner."""
    ink = np.random.default_rng(seed).random((number, 28, 28)) < 0.1
    ink[:, 0, :3] = True
    return np.where(ink, 0, 255).astype(np.uint8).reshape(number, 784)


@pytest.fixture
def character_files(tmp_path):
    """A folder of data: five alphabets of two characters to learn from, four of one that are new."""
    from common.data import characters

    (tmp_path / characters.FOLDER).mkdir()
    known = {f"images_background/A{i}/character{j}": drawings([0, i, j]) for i in range(5) for j in range(2)}
    unseen = {f"images_evaluation/B{i}/character1": drawings([1, i]) for i in range(4)}
    for file, arrays in zip(characters.FILES, (known, unseen)):
        np.savez(tmp_path / characters.FOLDER / file, **arrays)
    return tmp_path
