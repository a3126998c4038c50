"""The section of results/README.md on lossless compression."""

from common.hypervae.options import NAMES
from common.runs.results import tables
from common.runs.summaries import markdown_table, over_seeds, plus_minus, settings_in_words

TABLE = "10_compress/table.csv"
METHODS = {  # method: in words, as figures have it
    "vae ordered": "VAE, order kept",
    "hypervae unlabelled": "HyperVAE, no labels, order kept",
    "hypervae labelled_groups": "HyperVAE, by label, order kept within one",
    "hypervae labelled_sets": "HyperVAE, sets by label, their order free",
    "context": "context code (as JBIG)",
    "webp": "WebP lossless",
    "png": "PNG",
    "xz": "xz -9e",
    "zlib": "zlib 9",
}
TEXT = """\
Files that were decoded again: bits a pixel of the whole file, header and initial bits counted, of binarized test parts
(how, says `binarize` in settings.json; a draw is the same for all rows). `computed` is -ELBO by TensorFlow with other
draws of z and u, plus the header; of a free order log2 n! is off. VAE and HyperVAE were trained on the training part,
the model is not counted in the file; the others know nothing beforehand. `context` is a computed length (a code with
the ten neighbours of JBIG, adaptive, in one stream). Seconds are those of whatever machine made the row, CPU seconds
beside them.
"""


def method(rows):
    """The name of each row's method, a key of METHODS."""
    return (rows["model"].replace("none", "") + " " + rows["mode"]).str.strip()


def sections(results_dir, own=False):
    """[(title, Markdown)] of the table, if it is there: of sets that come with the project, or of a user's own."""
    there = tables(results_dir, {TABLE: "Lossless compression"}, own)
    return [(title, _section(rows, records)) for title, rows, records in there]


def _section(rows, records):
    measures = ["bits_per_pixel", "computed_bits_per_pixel", "bytes", "pack_seconds", "unpack_seconds"]
    measures += ["pack_cpu_seconds", "unpack_cpu_seconds"]
    table, words = over_seeds(rows, measures), {}
    for _, part in rows.groupby(["dataset", "model", "mode"], sort=False):
        words |= settings_in_words(part, records)
    table = table.sort_values(["dataset", "bits_per_pixel_mean"], kind="stable")
    body = []
    for _, row in table.iterrows():
        seconds = [plus_minus(row[f"{name}_mean"]) for name in measures[3:]]
        body.append(
            [row["dataset"], NAMES.get(row["model"], ""), row["mode"], row["told"], f"{row['parameters']:,.0f}"]
            + [row["num_seeds"] or "", f"{row['num_images']:,.0f}", f"{row['bytes_mean']:,.0f}"]
            + [plus_minus(row[f"{name}_mean"], row[f"{name}_std"], 4) for name in measures[:2]]
            + [*seconds, words[row["experiment"]]]
        )
    header = ["data", "model", "mode", "told", "parameters", "seeds", "images", "bytes", "bits a pixel", "computed"]
    header += ["pack s", "unpack s", "pack CPU s", "unpack CPU s", "settings"]
    return TEXT + "\n" + markdown_table(header, body)
