"""The page of 11_explore.py: its JavaScript computes what Keras does, and it works in a browser, from disk."""

import base64
import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, assert_refused, often
from hypervae.toy import bars, settings
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.data.datasets import Dataset
from common.errors import InputError
from common.hypervae import density
from common.hypervae.explorer import browser, page
from common.hypervae.hypervae import HyperVAE
from common.hypervae.options import defaults
from common.hypervae.pretrained import load_pretrained, model_card, packed_model, stand_in
from common.hypervae.runs import settings_for
from common.hypervae.training import Settings
from common.hypervae.vae import VAE

COMMITTED = ROOT / "results" / "11_explore" / "mnist" / "explorer.html"
LARGEST = 5_000_000
WIDTHS = {"desktop": (1280, 900), "phone": (360, 740)}
NASTY = (
    "<img src=x onerror=document.hacked=1>",
    "</script><script>document.hacked=1</script>",
    "&lt;b&gt; {{weights}}",
)


@pytest.fixture(scope="module")
def chromium():
    try:
        browser.path()
    except InputError as error:
        pytest.skip(str(error))
    with browser.chromium() as opened:
        yield opened


def a_run(model, **own):
    return SimpleNamespace(model=model, settings=settings(model=type(model).__name__.lower(), **own), trained_at="abc")


def moved(model):
    """Away from its start, where much is zero or alike."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, (7, i)))
    return model


def untrained(image_shape=(8, 8, 1), **options):
    """A HyperVAE and a VAE."""
    common = dict(image_shape=image_shape, latent_dim=3, hidden=12)
    return moved(HyperVAE(hyper_latent_dim=4, hyper_hidden=9, hyper_matrix=5, **common, **options)), moved(
        VAE(**common)
    )


def noise_images(image_shape, number=60):
    x = (np.random.default_rng(0).random((number, *image_shape)) < 0.3).astype(np.uint8)
    y = np.arange(number) % 3
    return Dataset("noise", x, y, x[:6], y[:6], (), x[6:30], y[6:30])


def written(path, data, models, precision=np.float16):
    path.write_text(page.html(*map(a_run, models), data, precision), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    """Class names that would do harm where they are read as HTML."""
    data = dataclasses.replace(bars(), class_names=NASTY, name="a<b>&amp;.npz")
    return written(tmp_path_factory.mktemp("page") / "a page.html", data, untrained(summary="mean"))


# The page computes what the models compute.

COMPUTE = """async ({u, images, count, noise, z}) => {
  const {model: config} = JSON.parse(document.getElementById("contents").textContent);
  const model = await openModel(config, document.getElementById("weights").textContent);
  const theta = thetaOf(model, u), x = Float32Array.from(images), q = inferU(model, x, count);
  const lengths = (theta) => {
    const {reconstruction, kl_z} = codeLengths(model, theta, x, count, Float32Array.from(noise));
    return reconstruction.map((value, i) => value + kl_z[i]);
  };
  const found = {
    u_mean: q.mean, u_deviation: q.deviation, kl_u: [klToPrior(q, 0, model.hyper_latent_dim)],
    reconstructions: reconstructed(model, theta, x, count), decoded: decoded(model, theta, Float32Array.from(z), count),
    lengths: lengths(theta), plain_lengths: lengths(weightsOf(model, "plain/")), mean_lengths: lengths(model.meanTheta),
    theta: model.shapes.flatMap(([name]) => Array.from(theta[name])),
  };
  const packed = ([name, numbers]) => {
    const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return [name, btoa(text)];
  };
  return Object.fromEntries(Object.entries(found).map(packed));
}"""


def page_computes(tab, request):
    found = tab.evaluate(COMPUTE, {name: np.ravel(value).tolist() for name, value in request.items()} | {"count": 3})
    return {name: np.frombuffer(base64.b64decode(text)) for name, text in found.items()}


def lengths_under(model, theta, x, noise):
    """-ELBO without KL(u), nats, (N,), by given noise (draws, N, latent_dim)."""
    q_z = density.posterior(*model.body.encode(theta, x))
    draws = [-model.body.likelihood(model.body.decode(theta, q_z.mean() + q_z.stddev() * e)).log_prob(x) for e in noise]
    return (tf.reduce_mean(tf.stack(draws), 0) + density.kl_to_prior(q_z)).numpy()


def keras_computes(model, plain, data, request):
    x, u, z = request["images"], request["u"], request["z"]
    q_u, vae = model.infer_u(x[None]), model.plain_vae(model.generate(u[None]))
    theta, mean = vae.own_theta(), model.average_vae(data.x_validation[: page.MEAN_IMAGES]).own_theta()
    return {
        "u_mean": q_u.mean().numpy(),
        "u_deviation": q_u.stddev().numpy(),
        "kl_u": density.kl_to_prior(q_u).numpy(),
        "reconstructions": vae(x).numpy(),
        "decoded": vae.decode(z).mean().numpy(),
        "lengths": lengths_under(model, theta, x, request["noise"]),
        "plain_lengths": lengths_under(model, plain.own_theta(), x, request["noise"]),
        "mean_lengths": lengths_under(model, mean, x, request["noise"]),
        "theta": np.concatenate([np.ravel(theta[name]) for name in model.body.shapes()]),
    }


def assert_equal(tab, models, data, tolerance):
    """Relative to the largest number of each kind; lengths each to itself."""
    rng, model = np.random.default_rng(1), models[0]
    request = {
        "u": rng.standard_normal(model.hyper_latent_dim).astype(np.float32),
        "images": data.x[:3].astype(np.float32),
        "noise": rng.standard_normal((2, 3, model.body.latent_dim)).astype(np.float32),
        "z": rng.standard_normal((3, model.body.latent_dim)).astype(np.float32),
    }
    ours, theirs = page_computes(tab, request), keras_computes(*models, data, request)
    assert ours.keys() == theirs.keys()
    for name, numbers in theirs.items():
        np.testing.assert_allclose(
            ours[name], numbers.ravel(), rtol=tolerance, atol=tolerance * np.abs(numbers).max(), err_msg=name
        )


KINDS = [  # summary, generator, generate, image_shape
    ("mean", "layerwise", "all", (11, 8, 1)),
    ("set", "layerwise", "all_scaled", (10, 7, 1)),
    ("mean", "layerwise", "scale_bias", (5, 9, 1)),
    ("mean", "layerwise", "decoder", (8, 8, 1)),
    ("draw", "block", "all", (9, 8, 1)),
    ("set", "concatenation", "all", (8, 8, 1)),
]


@pytest.mark.parametrize("summary, generator, generate, shape", KINDS)
def test_the_page_computes_what_keras_does(chromium, tmp_path, summary, generator, generate, shape):
    models = untrained(shape, summary=summary, generator=generator, generate=generate)
    data = noise_images(shape)
    tab = browser.open_page(chromium, written(tmp_path / "page.html", data, models, np.float32))
    assert_equal(tab, models, data, 1e-5)
    tab.close()


@pytest.mark.parametrize("precision, tolerance", often((np.float16, 1e-3), rest=[(np.float32, 1e-5)]))
def test_the_page_computes_what_keras_does_at_full_size(chromium, tmp_path, precision, tolerance):
    models = load_pretrained("mnist"), load_pretrained("mnist", "vae")
    data = noise_images((28, 28, 1))
    path = written(tmp_path / "mnist.html", data, models, precision)
    tab = browser.open_page(chromium, path)
    assert_equal(tab, models, data, tolerance)
    tab.close()
    assert precision == np.float32 or path.stat().st_size < LARGEST


def test_draws_of_the_page_are_standard_normal(chromium, small_page):
    tab = browser.open_page(chromium, small_page)
    first, again, other = (np.array(tab.evaluate(f"Array.from(normals(20000, {seed}))")) for seed in (1, 1, 2))
    tab.close()
    assert (first == again).all() and abs(np.corrcoef(first, other)[0, 1]) < 0.03
    assert abs(first.mean()) < 0.03 and abs(first.std() - 1) < 0.03 and abs((np.abs(first) < 1).mean() - 0.683) < 0.02


# What a user does on the page.


class Visitor:
    """A tab with the page in a file; notes what must not happen."""

    def __init__(self, chromium, path, width, scheme="light"):
        size = dict(zip(("width", "height"), WIDTHS[width]))
        self.context = chromium.new_context(
            viewport=size, color_scheme=scheme, has_touch=width == "phone", offline=True
        )
        self.context.set_default_timeout(browser.MILLISECONDS)
        self.troubles = []
        self.context.on(
            "request", lambda request: self.note(request.url, request.url.startswith(("blob:", path.as_uri())))
        )
        self.context.on("console", lambda message: self.note(message.text, message.type not in ("error", "warning")))
        self.context.on("weberror", lambda error: self.note(str(error.error), False))
        self.tab = browser.open_page(self.context, path)

    def note(self, text, fine):
        if not fine:
            self.troubles.append(text[:200])

    def picture(self, canvas):
        return self.tab.evaluate(f"document.querySelector('{canvas}').toDataURL()")

    def changes(self, canvas, act):
        """Whether a canvas shows something else after act(), at the latest in some seconds."""
        before = self.picture(canvas)
        act()
        self.tab.wait_for_function(
            "([canvas, before]) => document.querySelector(canvas).toDataURL() !== before", arg=[canvas, before]
        )

    def point(self, element, x, y):
        """Page coordinates of a place in an element, given in shares of its sides."""
        found = self.tab.locator(element)
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, element, *places):
        points = [self.point(element, *place) for place in places]
        self.tab.mouse.move(*points[0])
        self.tab.mouse.down()
        for point in points[1:]:
            self.tab.mouse.move(*point, steps=4)
        self.tab.mouse.up()

    def draw_a_seven(self):
        before = self.tab.evaluate("Number(document.body.dataset.yours || 0)")
        self.drag("#pad", (0.3, 0.3), (0.7, 0.3), (0.45, 0.75))
        self.tab.wait_for_function("before => Number(document.body.dataset.yours || 0) > before", arg=before)


def visit(visitor):
    tab = visitor.tab
    visitor.changes("#grid", lambda: visitor.drag("#map", (0.3, 0.3), (0.55, 0.6)))
    visitor.changes("#filters", lambda: visitor.drag("#map", (0.55, 0.6), (0.8, 0.2)))  # the weights, too
    visitor.changes("#grid", lambda: tab.get_by_text("Change from mean theta").click())
    visitor.changes("#grid", lambda: tab.get_by_text("Images", exact=True).click())
    tab.locator("#map").focus()
    where = tab.locator("#where").inner_text()
    visitor.changes("#grid", lambda: tab.keyboard.press("Shift+ArrowLeft"))
    assert tab.locator("#where").inner_text() != where
    tab.locator("#others summary").click()
    slider = tab.locator("#sliders input").first
    visitor.changes("#grid", lambda: slider.press("End"))
    assert not tab.locator("#follow").is_checked()
    visitor.changes("#grid", lambda: tab.locator("#jump").select_option("1"))
    assert "0.00 prior sd" in tab.locator("#where").inner_text()
    visitor.changes("#grid", lambda: tab.locator("#redraw").click())
    visitor.changes("#grid", lambda: tab.locator("#codes").select_option("plane"))

    visitor.draw_a_seven()
    first = tab.locator("#lengths tbody tr").all_inner_texts()
    assert (
        len(first) == 3
        and all(re.search(r"\d+\.\d", row) for row in first)
        and "image" in tab.locator("#verdict").inner_text()
    )
    tab.locator("#slots button").nth(1).click()
    visitor.changes("#reconstructions", visitor.draw_a_seven)
    assert "2 images share" in tab.locator("#verdict").inner_text()
    visitor.changes("#samples", lambda: tab.get_by_text("Change from mean theta").click())
    visitor.changes("#grid", lambda: tab.locator("#go").click())

    visitor.changes("#grid", lambda: tab.locator("#pin-b").click() or tab.locator("#play").click())
    visitor.changes("#grid", lambda: tab.wait_for_timeout(100))  # it goes on by itself
    tab.locator("#play").click()
    assert tab.locator("#play").get_attribute("aria-pressed") == "false"
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.evaluate("innerWidth")
    assert not visitor.troubles
    visitor.context.close()


@pytest.mark.parametrize("width, scheme", [("desktop", "light"), ("phone", "dark")])
def test_a_visit(chromium, small_page, width, scheme):
    visit(Visitor(chromium, small_page, width, scheme))


@pytest.mark.parametrize("width", often("desktop", rest=WIDTHS))
def test_a_visit_to_the_committed_page(chromium, width):
    visit(Visitor(chromium, COMMITTED, width))


def test_the_committed_page_is_of_this_code():
    text = COMMITTED.read_text(encoding="utf-8")
    assert COMMITTED.stat().st_size < LARGEST
    for name in ("explorer.js", *page.SCRIPTS, "page.css"):
        assert (page.FOLDER / name).read_text() in text, (
            f"{name} is newer: python 11_explore.py --dataset mnist --screenshot"
        )
    assert model_card("mnist")["trained_at"] in text


def test_pads_pictures_and_keys(chromium, small_page, tmp_path):
    """A drawing by keys; undo; pictures from files, of any size, and what is none."""
    visitor = Visitor(chromium, small_page, "phone")
    tab = visitor.tab
    tab.locator("#pad").focus()
    for key in (" ", "ArrowRight", "ArrowRight", "ArrowDown"):
        tab.keyboard.press(key)
    tab.wait_for_function("() => Number(document.body.dataset.yours) > 0")
    visitor.changes("#pad", lambda: tab.locator("#undo").click())
    tab.locator("#yours-empty").wait_for()
    picture = np.zeros((40, 80), np.uint8)
    picture[:, 30:50] = 255
    Image.fromarray(picture).save(tmp_path / "<b>pen.png")
    visitor.changes("#pad", lambda: tab.locator("#file").set_input_files(tmp_path / "<b>pen.png"))
    assert "<b>pen.png: 80 × 40 pixels, fitted to 8 × 8" in tab.locator("#pad-note").inner_text()
    (tmp_path / "text.png").write_text("no picture")
    tab.locator("#file").set_input_files(tmp_path / "text.png")
    tab.get_by_text("text.png is no picture that this browser reads").wait_for()
    x, y = visitor.point("#map", 0.7, 0.7)
    visitor.changes("#grid", lambda: tab.touchscreen.tap(x, y))
    assert not visitor.troubles
    visitor.context.close()


def test_names_are_text_and_nothing_can_be_sent(chromium, small_page):
    visitor = Visitor(chromium, small_page, "desktop")
    tab = visitor.tab
    assert tab.locator("#jump option").all_inner_texts()[1:] == list(NASTY)
    assert tab.title() == "A space of VAEs: a<b>&amp;.npz"
    assert tab.evaluate("document.hacked") is None and tab.locator("img").count() == 0
    assert not visitor.troubles
    # The policy forbids even what would need no network.
    assert tab.evaluate("fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"
    assert (
        tab.evaluate(
            "new Promise(done => { const i = new Image(); i.onload = () => done('sent'); "
            "i.onerror = () => done('refused'); i.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; })"
        )
        == "refused"
    )
    visitor.context.close()


def test_a_damaged_page_says_so(chromium, small_page, tmp_path):
    text = small_page.read_text(encoding="utf-8")
    damaged = tmp_path / "damaged.html"
    damaged.write_text(re.sub(r'(id="weights">.{2000}).*?</script>', r"\1</script>", text), encoding="utf-8")
    tab = chromium.new_page()
    tab.goto(damaged.as_uri())
    tab.wait_for_selector("body[data-state=failed]")
    assert "This page cannot compute" in tab.locator("#status").inner_text()
    tab.close()


FOCUSED = """(() => {
  const element = document.activeElement;
  const shown = element.matches(".choice input") ? element.nextElementSibling : element.closest(".button") || element;
  return [element.id || element.name || element.tagName, getComputedStyle(shown).outlineStyle];
})()"""


def test_focus_is_seen_and_targets_are_large(chromium, small_page):
    visitor = Visitor(chromium, small_page, "phone")
    sizes = visitor.tab.evaluate(
        "[...document.querySelectorAll('button, select, .button, .choice span, #map, #pad, summary')]"
        ".map(e => [e.id || e.textContent.trim(), e.getBoundingClientRect()]).filter(([, r]) => r.width)"
        ".map(([name, r]) => [name, r.width, r.height])"
    )
    assert len(sizes) > 15 and all(width >= 40 and height >= 40 for _, width, height in sizes), sizes
    reached = set()
    for _ in range(30):
        visitor.tab.keyboard.press("Tab")
        name, outline = visitor.tab.evaluate(FOCUSED)
        assert outline != "none" or name == "BODY", name
        reached.add(name)
    assert {"map", "jump", "follow", "view", "codes", "redraw", "play", "step", "pin-a", "pad", "file"} <= reached
    visitor.context.close()


# How it is made.


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_the_maps_axes_are_orthonormal_and_hold_the_tasks(tasks, dimensions, seed):
    means = np.random.default_rng(seed).standard_normal((tasks, dimensions))
    found = {name: np.array(numbers) for name, numbers in page.map_of(means, np.ones_like(means)).items()}
    axes = found["axes"]
    np.testing.assert_allclose(axes @ axes.T, np.eye(dimensions), atol=1e-4)
    coordinates = (means - found["center"]) @ axes.T
    np.testing.assert_allclose(found["center"] + coordinates @ axes, means, atol=1e-4)
    spread = (coordinates**2).sum(0)
    assert (np.diff(spread) <= 1e-4).all()  # the axes along which they differ most come first
    if tasks > 1:
        np.testing.assert_allclose(found["shares"], 100 * spread / spread.sum(), atol=1e-2)


def test_ellipses_are_posteriors_and_one_image_a_task_gives_a_mixture():
    model, _ = untrained(summary="mean")
    means, deviations = page.tasks_of(model, bars())
    q_u = model.infer_u(tf.cast(bars().x[bars().y == 1][None], tf.float32))
    np.testing.assert_allclose(means[1], q_u.mean()[0], rtol=1e-5)
    np.testing.assert_allclose(deviations[1], q_u.stddev()[0], rtol=1e-4)
    model, _ = untrained(summary="draw")
    means, deviations = page.tasks_of(model, bars())
    q_u = model.infer_u(tf.cast(bars().x[bars().y == 1][:, None], tf.float32))
    draws = q_u.sample(4000, seed=0).numpy().reshape(-1, 4)
    np.testing.assert_allclose(means[1], draws.mean(0), atol=0.05)
    np.testing.assert_allclose(deviations[1], draws.std(0), rtol=0.03)


def test_the_frame_holds_the_ink():
    images = np.zeros((4, 10, 12, 1), np.uint8)
    images[:, 2:7, 3:9] = 1
    assert page.frame_of(images) == [2, 3, 7, 9]
    assert page.frame_of(np.zeros((1, 4, 4, 1), np.uint8)) == [0, 0, 4, 4]


def stored(name, model):
    labels = dict(dataset=name, recipe="ours", binarize="bernoulli")
    return Settings(**labels, **{k: v for k, v in model_card(name, model)["settings"].items() if k != "labels"})


def test_trained_weights_are_taken_for_the_same_run_alone():
    own = stored("mnist", "vae")
    run = packed_model(own)
    assert run.settings is own and run.trained_at == model_card("mnist", "vae")["trained_at"]
    assert packed_model(dataclasses.replace(own, seed=1)) is None
    assert packed_model(dataclasses.replace(own, fingerprint="other")) is None
    assert packed_model(dataclasses.replace(own, dataset="photos.npz")) is None


@pytest.mark.parametrize("options, packed", [({}, True), ({"learning_rate": 0.002}, True), ({"rank": 3}, False)])
def test_options_ask_for_trained_weights_by_what_they_mean(options, packed):
    """A recipe's own value, given once more, is the same run."""
    args, known = defaults(iterations=stored("mnist", "hypervae").iterations, **options), stand_in("mnist", "hypervae")
    assert bool(packed_model(settings_for(args, known, "hypervae", "ours", 0))) == packed
    assert stand_in("photos.npz", "hypervae") is None


def test_the_script(tmp_path, call, small_convolutions, uncompiled, untraced_trainings, write_npz, monkeypatch):
    """From a user's file to a page, which says what it was made of; bad input is refused before anything is trained."""
    folder = tmp_path / "results"
    options = ["--dataset", write_npz("own.npz"), "--results-dir", folder, "--iterations", 2, "--batch-size", 10]
    options += ["--tasks-per-step", 5]
    done = call("11_explore.py", *options)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("11_explore/own.npz-*/explorer.html")
    text = path.read_text(encoding="utf-8")
    contents = json.loads(re.search(r'id="contents">(.*?)</script>', text)[1])
    assert contents["data"] == {
        "name": "own.npz",
        "tasks": ["0", "1"],
        "frame": contents["data"]["frame"],
        "ink": False,
    }
    records = json.loads((path.parent / "settings.json").read_text())
    assert all(digest in contents["about"]["Runs"] for digest in records) and len(records) == 2
    assert "custom" in contents["about"]["Models"] and "2 steps" in contents["about"]["Models"]
    assert f"[{path.parent.name}](<{path.relative_to(folder).as_posix()}>)" in (folder / "README.md").read_text()
    assert_refused(call("11_explore.py", *options, "--model", "vae"), "leave --model out")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(call("11_explore.py", *options, "--screenshot"), "no Chromium on this machine")
