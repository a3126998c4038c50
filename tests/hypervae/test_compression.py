"""Lossless compression: exact arithmetic, round trips, damage, other machines' libraries, computed lengths."""

import dataclasses
import json
import os
import subprocess
import sys
import zlib

import constriction
import numpy as np
import pytest
from conftest import DATA, ROOT, assert_refused
from hypervae.toy import bars
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.errors import InputError
from common.hypervae import code_stack, compressed_header, exact, listed_tasks
from common.hypervae import compressed_files as files
from common.hypervae.baselines import JBIG, context_length

PACKED = ROOT / "tests" / "hypervae" / "packed"
WAYS = {"listed": "order", "groups": "groups", "sets": "sets"}


@pytest.fixture(scope="module")
def model():
    """The small HyperVAE of the committed files."""
    with np.load(PACKED / "model.npz", allow_pickle=False) as arrays:
        return exact.ExactModel(dict(arrays), (8, 8, 1))


@pytest.fixture(scope="module")
def vae(model):
    """A plain VAE of the same networks."""
    theta = model.theta_of(np.zeros(model.hyper_latent_dim))
    return exact.ExactModel({f"theta/{name}": weight for name, weight in theta.items()}, (8, 8, 1))


def packed(model, x, labels=None, grouping="order"):
    header, order = files.plan(model, "bars hypervae", x, labels, grouping)
    return files.pack(model, x, header, order)


def assert_round_trip(model, x, labels=None, grouping="order"):
    made = packed(model, x, labels, grouping)
    found, header = files.unpack(model, made.raw, "a file")
    assert found.dtype == np.uint8 and files.same_images(header, found, x, labels)
    if grouping == "order":
        np.testing.assert_array_equal(found, x)
    return made, header


# Exact arithmetic.


@pytest.mark.parametrize("shape", [(8, 8, 1), (10, 7, 1)])
def test_exact_networks_are_the_keras_ones(shape, small_convolutions):
    import tensorflow as tf

    from common.hypervae.hypervae import HyperVAE
    from common.layers.kernels import single_theta

    keras_model = HyperVAE(image_shape=shape, latent_dim=3, hyper_latent_dim=2, summary="mean", hyper_matrix=4)
    for i, variable in enumerate(keras_model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    ours = exact.exact(keras_model)
    x = (np.random.default_rng(0).random((5, *shape)) < 0.3).astype(np.uint8)
    q_u = keras_model.infer_u(tf.cast(x[None], tf.float32))
    mean, log_var = ours.infer_u(ours.features(x))
    np.testing.assert_allclose(mean, q_u.mean()[0], atol=2e-3)
    np.testing.assert_allclose(exact.variances()[1][log_var], np.minimum(q_u.stddev()[0], 1), rtol=0.02)
    np.testing.assert_allclose(ours.single_u(ours.features(x)).mean(0), mean, atol=2e-3)
    u = exact.on_grid([[0.5, -1.25]])
    theta, generated = ours.theta_of(u[0]), keras_model.generate(tf.cast(u, tf.float32))
    generated = single_theta(generated, keras_model.body.shapes())
    for name, weight in generated.items():
        np.testing.assert_allclose(theta[name], weight, atol=2e-3)
    q_z = keras_model.encode(x, generated)
    mean, log_var = ours.vae.encode(theta, x)
    np.testing.assert_allclose(mean, q_z.mean(), atol=5e-3)
    p_x = keras_model.decode(tf.cast(mean, tf.float32), generated)
    steps = ours.vae.decode(theta, mean)
    logits = np.clip(p_x.distribution.logits.numpy().reshape(5, -1), -exact.LARGEST_LOGIT, exact.LARGEST_LOGIT)
    np.testing.assert_allclose(steps / exact.LOGIT_STEPS - exact.LARGEST_LOGIT, logits, atol=0.02)
    np.testing.assert_allclose(ours.vae.lengths(theta, x, (mean, log_var)), neg_elbo(p_x, q_z, x), rtol=0.01)


def neg_elbo(p_x, q_z, x):
    from common.hypervae import density

    return -p_x.log_prob(x.astype(np.float32)) + density.kl_to_prior(q_z)


@given(st.integers(0, 2**32))
def test_sums_are_the_same_in_any_order(seed):
    """What float arithmetic does not promise, and numbers on the grid keep."""
    draw = np.random.default_rng(seed)
    values = np.minimum(exact.on_grid(draw.exponential(50, 300)), exact.LARGEST_VALUE)
    weights = exact.on_grid(draw.normal(0, 1, 300), exact.WEIGHT_BITS)
    shuffled = draw.permutation(300)
    assert values @ weights == values[shuffled] @ weights[shuffled] == sum((values * weights)[::-1].tolist())


def test_batches_of_any_size_give_the_same_bits(model):
    x, theta = bars().x, model.theta_of(exact.on_grid([0.3, -0.7]))
    whole = (*model.vae.encode(theta, x), model.features(x))
    parts = [(*model.vae.encode(theta, x[i : i + 1]), model.features(x[i : i + 1])) for i in range(len(x))]
    for array, own in zip(whole, zip(*parts)):
        np.testing.assert_array_equal(array, np.concatenate(own))


def test_weights_too_large_to_be_exact_are_refused(model):
    weights = model.weights | {"theta/decoder/conv1/kernel": np.full((6, 36), 1e6)}
    with pytest.raises(InputError, match="weights sum up to 6e[+]06: train longer"):
        exact.ExactModel(weights, (8, 8, 1))


def test_a_model_that_is_not_known_is_refused(small_convolutions):
    from common.hypervae.hypervae import HyperVAE

    with pytest.raises(InputError, match="no exact arithmetic for this --summary"):
        exact.exact(HyperVAE(image_shape=(8, 8, 1), summary="draw"))


# Round trips.


@pytest.mark.parametrize("grouping", ["order", "groups", "sets"])
@pytest.mark.parametrize("number", [1, 2, 60])
def test_round_trips(model, vae, grouping, number):
    x, y = bars().x[:number], bars().y[:number]
    assert_round_trip(model, x, None, grouping)
    assert_round_trip(model, x, y, grouping)
    assert_round_trip(vae, x, y, grouping)
    assert_round_trip(model, x, np.full(number, 2), grouping)  # one class, and labels that nobody has


IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), *map(st.just, (8, 8, 1))), elements=st.integers(0, 1))


@settings(max_examples=15)
@given(IMAGES)
def test_any_images_make_a_round_trip(model, vae, x):
    assert_round_trip(vae, x, None, "sets")
    assert_round_trip(model, x)


@pytest.mark.parametrize("grouping", ["order", "sets"])
def test_images_that_tell_nothing(model, grouping):
    """All black, all alike: the stack begins with more, and the order of a set is worth nothing."""
    made, _ = assert_round_trip(model, np.zeros((70, 8, 8, 1), np.uint8), None, grouping)
    assert made.initial_bits >= 128


def test_blocks_are_decoded_alone(model, monkeypatch):
    monkeypatch.setattr(compressed_header, "BLOCK_IMAGES", 16)
    x, y = bars().x, bars().y
    made, header = assert_round_trip(model, x, y, "groups")
    blocks = header.blocks()
    assert len(blocks) == 6 and [b.stop for b in blocks[:-1]] == [b.start for b in blocks[1:]]
    found, _ = files.unpack(model, made.raw, "a file", block=4)
    np.testing.assert_array_equal(found, x[made.order][blocks[4]])
    with pytest.raises(InputError, match="has blocks 0 to 5"):
        files.unpack(model, made.raw, "a file", block=6)


def test_the_order_of_a_set_is_not_paid_for(vae):
    """Sets are shorter by about log2 n!, less what equal images have no order of; not so where all are equal."""
    x = np.unique(bars().x, axis=0)

    def saved(x, times=16):
        """Bits, the mean over other draws of z: these differ by some hundred bits from file to file."""
        found = []
        for seed in range(times):
            own = x[np.random.default_rng(seed).permutation(len(x))]
            made = [packed(vae, own, None, grouping) for grouping in ("order", "sets")]
            ordered, free = (8 * len(file.raw) - file.initial_bits for file in made)
            found.append(ordered - free)
        return np.mean(found)

    assert saved(x) == pytest.approx(np.log2(np.arange(1, len(x) + 1)).sum(), abs=100)
    assert saved(np.repeat(x[:1], len(x), 0)) == pytest.approx(0, abs=100)


# Files that are not as they were written.


@pytest.mark.parametrize("name", WAYS)
def test_no_flipped_or_missing_byte_gives_another_image(model, name):
    raw = (PACKED / f"{name}.hvz").read_bytes()
    truth, _ = files.unpack(model, raw, "a file")
    for i in range(len(raw)):
        for damaged in (raw[:i] + bytes([raw[i] ^ 1 << i % 8]) + raw[i + 1 :], raw[:i]):
            with pytest.raises(InputError, match="a file"):
                files.unpack(model, damaged, "a file")
    with pytest.raises(InputError, match="has bytes after its last block"):
        files.unpack(model, raw + b"\0", "a file")
    np.testing.assert_array_equal(files.unpack(model, raw, "a file")[0], truth)


def test_other_files_versions_and_models_are_named(model, vae):
    raw = (PACKED / "listed.hvz").read_bytes()
    with pytest.raises(InputError, match="is no .hvz file"):
        files.unpack(model, b"PK" + raw[2:], "a file")
    with pytest.raises(InputError, match="has format 9, this version reads 1"):
        files.unpack(model, raw[:4] + b"\x09" + raw[5:], "a file")
    with pytest.raises(InputError, match=f"packed by model {model.digest.hex()[:12]}"):
        files.unpack(vae, raw, "a file")
    with pytest.raises(InputError, match="images to pack and the model's are 8x9 and 8x8"):
        packed(model, np.zeros((2, 8, 9, 1), np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": (0,)}, {"sizes": ()}, {"image_shape": (0, 8, 1)}, {"weights": 3}, {"weights": compressed_header.OWN},
        {"codes": np.zeros((2, 3)), "shares": np.array([1, 2])}, {"sizes": (2**32 - 1,)},
    ],
)  # fmt: skip
def test_headers_that_no_file_has_are_refused_though_their_checksum_is_right(model, change):
    raw = (PACKED / "listed.hvz").read_bytes()
    header, start = compressed_header.read_header(raw, "a file")
    forged = dataclasses.replace(header, **change).packed() + raw[start:]
    with pytest.raises(InputError, match="a file"):
        files.description(forged, "a file")
        files.unpack(model, forged, "a file")


@pytest.mark.parametrize("data", ["a" * 300, "ü" * 200, "\udcff.npz"])
def test_long_and_odd_names_keep_the_models_kind(model, data):
    header = compressed_header.Header(f"{data} hypervae", model.digest, (8, 8, 1), "none", 2, False, False, (7,))
    found, _ = compressed_header.read_header(header.packed(), "a file")
    assert found.name.endswith(" hypervae") and found.name[:3] in (data[:3], "?.n")


def test_blocks_are_those_of_array_split():
    for size in (0, 1, 2000, 2001, 6999):
        header = compressed_header.Header("a b", b"", (8, 8, 1), "none", 0, False, False, (3, size))
        parts = [part for part in np.array_split(np.arange(3, 3 + size), -(-size // 2000) or 1) if len(part)]
        wanted = [(0, 3)] + [(part[0], part[-1] + 1) for part in parts]
        assert [(own.start, own.stop) for own in header.blocks()] == wanted


def test_headers_of_any_number_of_tasks_are_read_as_written(model):
    codes = listed_tasks.listed_codes(np.random.default_rng(0).normal(size=(40, 10)))
    shares = listed_tasks.shares_of(np.arange(1, 41))
    header = compressed_header.Header(
        "a b", model.digest, (8, 8, 1), "bernoulli", compressed_header.LISTED, False, False, (7,), codes, shares
    )
    found, end = compressed_header.read_header(header.packed(), "a file")
    assert end == len(header.packed()) and found.sizes == (7,) and found.binarization == "bernoulli"
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.shares, shares)


@pytest.mark.parametrize("name", WAYS)
def test_what_decodes_to_other_images_is_not_handed_out(model, name):
    """A machine whose coder computes otherwise, played by words that a checksum is made for again."""
    raw = (PACKED / f"{name}.hvz").read_bytes()
    header, start = compressed_header.read_header(raw, "a file")
    words, initial = files.read_blocks(raw, header, start, "a file")[0]
    rest = raw[start + files._BLOCK.size + 4 * len(words) :]
    for i in range(len(words)):
        other = words.copy()
        other[i] ^= 1 << (i * 5 % 32)
        payload = other.astype("<u4").tobytes()
        forged = raw[:start] + files._block_head(0, payload, initial) + payload + rest
        assert zlib.crc32(forged) != zlib.crc32(raw)
        with pytest.raises(InputError, match="not those that were packed"):
            files.unpack(model, forged, "a file")


# Other days, machines and processes.


@pytest.mark.parametrize("name", WAYS)
def test_files_of_other_days_still_unpack(model, name):
    assert constriction.__name__ and not constriction_version().startswith("1")  # of which files may be others
    x, header = files.unpack(model, (PACKED / f"{name}.hvz").read_bytes(), "a file")
    assert files.same_images(header, x, bars().x, bars().y)


def constriction_version():
    from importlib.metadata import version

    return version("constriction")


AGAIN = """
import sys, numpy as np
sys.path[:0] = [{root!r}, {tests!r}]
from common.hypervae import compressed_files as files, exact
with np.load({packed!r} + "/model.npz", allow_pickle=False) as arrays:
    model = exact.ExactModel(dict(arrays), (8, 8, 1))
with np.load(sys.argv[1], allow_pickle=False) as arrays:
    x, y = arrays["x"], arrays["y"]
for name, grouping in {ways!r}.items():
    raw = open({packed!r} + f"/{{name}}.hvz", "rb").read()
    found, header = files.unpack(model, raw, name)
    assert files.same_images(header, found, x, y), name
    header, order = (header, np.arange(len(x))) if name == "listed" else files.plan(
        model, "bars hypervae", x, y, grouping)
    assert files.pack(model, x, header, order).raw == raw, name
print("same bytes")
"""


@pytest.mark.parametrize("kernels, threads", [("Nehalem", "1"), ("Haswell", "2")])
def test_other_kernels_and_threads_give_the_same_bytes(tmp_path, kernels, threads):
    """Packed by one process, unpacked and packed again by another whose BLAS adds in another order."""
    np.savez(tmp_path / "x.npz", x=bars().x, y=bars().y)
    places = dict(root=str(ROOT), tests=str(ROOT / "tests"), packed=str(PACKED), ways=WAYS)
    environment = os.environ | {"OPENBLAS_CORETYPE": kernels, "OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, "-c", AGAIN.format(**places), tmp_path / "x.npz"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "same bytes\n", done.stderr[-2000:]


# Lengths.


def test_codes_are_drawn_from_their_gaussian_and_nothing_else():
    """A window of 24-bit probabilities that is too wide would draw one code in a thousand from anywhere."""
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    stack = code_stack.Stack(bits, initial=True)
    steps = np.tile([0, 200, 384, 640], 5_000)  # the last is a standard deviation of 1
    mean = exact.on_grid(np.random.default_rng(1).uniform(-8, 8, len(steps)))
    before = stack.bits
    codes = stack.pop_codes(mean, steps)
    deviations = exact.variances()[1][steps]
    z = (codes - mean) / np.hypot(deviations, 2.0**-code_stack.PRECISION / np.sqrt(12))
    assert np.abs(z).max() < 6.5 and z.std() == pytest.approx(1, abs=0.02) and abs(z.mean()) < 0.03
    spent = (before - stack.bits) / len(steps)
    wide = deviations > 0.02  # of narrower ones the grid shows
    entropy = np.log2(deviations[wide] * 2**code_stack.PRECISION * np.sqrt(2 * np.pi * np.e)).mean()
    assert spent == pytest.approx(0.75 * entropy + 0.25 * 2.9, abs=0.3)
    stack.push_codes(codes, mean, steps)
    np.testing.assert_array_equal(stack.words(initial=True), bits)


@pytest.mark.skipif(not (DATA / "mnist").exists(), reason="no MNIST")
@pytest.mark.parametrize("kind, grouping", [("vae", "order"), ("vae", "sets"), ("hypervae", "groups")])
def test_a_file_is_as_long_as_was_computed(kind, grouping, uncompiled):
    from common.data import datasets
    from common.hypervae import compression_runs, pretrained

    keras_model = pretrained.load_pretrained("mnist", kind)
    data = datasets.load("mnist", DATA)
    x = data.x_test[data.y_test == 3][:250]
    ours = exact.exact(keras_model)
    made, header = assert_round_trip(ours, x, np.zeros(len(x), int), grouping)
    nats = sum(compression_runs.computed_nats(keras_model, header, x[made.order], num_samples=4))
    overhead = 8 * (len(made.raw) - sum(made.block_bytes)) + 8 * files._BLOCK.size + made.initial_bits
    assert 8 * len(made.raw) == pytest.approx(nats / np.log(2) + overhead, rel=0.01, abs=64)


def test_context_code_is_the_adaptive_one():
    """Against the same code, pixel by pixel."""
    x = (np.random.default_rng(0).random((4, 6, 5, 1)) < 0.3).astype(np.uint8)
    counts, nats = {}, 0.0
    for image in x[..., 0]:
        for row in range(6):
            for column in range(5):
                places = [(row - above, column + right) for above, right in JBIG]
                context = tuple(image[r, c] if r >= 0 and 0 <= c < 5 else 0 for r, c in places)
                seen = counts.setdefault(context, [0.5, 0.5])
                nats -= np.log(seen[image[row, column]] / sum(seen))
                seen[image[row, column]] += 1
    assert context_length(x) == pytest.approx(nats)


# The script.


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve binary images of MNIST's size, labelled."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    x = np.kron(np.random.default_rng(0).random((12, 7, 7)) < 0.2, np.ones((4, 4)))
    np.savez(path, x=x.astype(bool), y=np.arange(12) % 3)
    return path


def test_pack_unpack_check_info(tmp_path, call, images):
    file, back = tmp_path / "out.hvz", tmp_path / "back.npz"
    with np.load(images, allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    done = call("10_compress.py", "pack", images, file, "--dataset", "mnist")
    assert done.returncode == 0 and "decoded to the same images" in done.stdout, done.stderr
    assert "the labels of" in done.stdout and "--as-groups" in done.stdout
    assert call("10_compress.py", "check", file, images).returncode == 0
    done = call("10_compress.py", "info", file)
    assert "12 of 28 x 28" in done.stdout and "mnist hypervae" in done.stdout
    assert call("10_compress.py", "unpack", file, back).returncode == 0
    with np.load(back, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["x"], x)
        assert arrays.files == ["x"]
    done = call("10_compress.py", "pack", images, file, "--dataset", "mnist", "--as-groups")
    assert done.returncode == 0 and call("10_compress.py", "unpack", file, back).returncode == 0
    with np.load(back, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["x"], x[np.argsort(y, kind="stable")])
        np.testing.assert_array_equal(arrays["y"], np.sort(y))
    other = tmp_path / "other.npz"
    np.savez(other, x=~x, y=y)
    assert_refused(call("10_compress.py", "check", file, other), "holds other images")
    assert_refused(call("10_compress.py", "unpack", file, back, "--model", "vae"), "packed by model")
    header, start = compressed_header.read_header(file.read_bytes(), file)
    file.write_bytes(dataclasses.replace(header, name="own.npz vae").packed() + file.read_bytes()[start:])
    assert_refused(
        call("10_compress.py", "unpack", file, back), "own.npz is missing"
    )  # the data that it was trained on


def test_grey_images_need_to_be_told_how_and_are_checked_alike(tmp_path, call):
    grey, file = tmp_path / "grey.npz", tmp_path / "out.hvz"
    np.savez(grey, x=np.random.default_rng(0).random((3, 28, 28)))
    options = ["pack", grey, file, "--dataset", "mnist", "--model", "vae"]
    assert_refused(call("10_compress.py", *options), "grey levels")
    assert not file.exists()
    dark = tmp_path / "dark.npz"
    np.savez(dark, x=np.where(np.arange(3 * 784).reshape(3, 28, 28) % 5, 0.0015, 1))  # which 256 levels would make 0
    assert_refused(call("10_compress.py", "pack", dark, *options[2:]), "grey levels")
    assert call("10_compress.py", *options, "--binarize", "bernoulli").returncode == 0
    assert call("10_compress.py", "check", file, grey).returncode == 0


def test_bad_requests(tmp_path, call, images):
    file, empty, none = tmp_path / "out.hvz", tmp_path / "empty.npz", tmp_path / "none.hvz"
    np.savez(empty, x=np.zeros((0, 28, 28), np.uint8))
    for options, message in (
        (["pack", images], "pack takes images and file"),
        (["pack", images, file], "give --dataset"),
        (["pack", empty, file, "--dataset", "mnist"], "has shape"),
        (["pack", images, file, "--dataset", "mnist", "--model", "metavae"], "choose --model vae or hypervae"),
        (["unpack", none, empty], "cannot be read"),
        (["info", images], "is no .hvz file"),
        (["pack", images, images, "--dataset", "mnist"], "would write over the input"),
        (["unpack", none, none], "cannot be read"),
        (["pack", images, file, "--dataset", "mnist", "fashion_mnist"], "takes one --dataset"),
        (["pack", images, file, "--dataset", "mnist", "--block", "1"], "--block changes nothing with pack"),
        (["unpack", file, empty, "--as-sets"], "--as-sets changes nothing with unpack"),
        (["table", "--recipe", "ours", "paper"], "takes one --recipe"),
        (["table", "--model", "vae", "metavae"], "no images are packed by metavae"),
    ):
        assert_refused(call("10_compress.py", *options), message)
    assert not file.exists()


@pytest.mark.slow
def test_killed_while_it_writes(tmp_path, images):
    """Neither half a file nor none: the one of before."""
    file = tmp_path / "out.hvz"
    file.write_bytes(b"of before")
    options = ["pack", images, file, "--dataset", "mnist", "--model", "vae"]
    line = json.dumps([*map(str, ["out.hvz", "during", "10_compress.py", *options])])
    killer = [sys.executable, str(ROOT / "tests" / "killing.py")]
    done = subprocess.run(killer, input=line + "\n", capture_output=True, text=True)
    assert done.stdout.split() == ["-9"] and file.read_bytes() == b"of before", done.stderr[-1000:]


@pytest.mark.slow
def test_the_table_and_its_report(tmp_path, call, small_convolutions, uncompiled, untraced_trainings, write_npz):
    folder = tmp_path / "results"
    options = ["--dataset", write_npz("own.npz"), "--iterations", 4, "--batch-size", 40, "--results-dir", folder]
    done = call("10_compress.py", "table", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    from common.runs import results

    table = results.read_rows(folder / "10_compress" / "table.csv")
    assert set(table["mode"]) == {
        *("png", "webp", "zlib", "xz", "context", "ordered", "unlabelled", "labelled_groups", "labelled_sets")
    }
    assert (table["num_images"] == 30).all()
    np.testing.assert_allclose(table["bits_per_pixel"], 8 * table["bytes"] / (30 * 64), rtol=1e-5)
    blocks = results.read_rows(folder / "10_compress" / "blocks.csv")
    assert set(blocks.groupby("mode")["num_images"].sum()) == {30}
    assert len(list((folder / "10_compress").glob("*.png"))) == 2
    assert "### Lossless compression" in (folder / "README.md").read_text()
    before = table[table["model"] != "none"]
    assert call("10_compress.py", "table", *options).returncode == 0  # nothing is measured again
    after = results.read_rows(folder / "10_compress" / "table.csv")
    assert after[after["model"] != "none"]["pack_seconds"].tolist() == before["pack_seconds"].tolist()
