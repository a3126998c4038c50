"""What results/README.md says first of new tasks: HyperVAE beside the best that is not, a row a question."""

from common.hypervae import unseen_report
from common.hypervae.new_tasks_report import PUBLISHED, lines_by_size
from common.runs.summaries import count, over_seeds, plus_minus

OURS = ("hypervae_mixture", "hypervae_by_class")  # of the tasks that the labels give
UNSEEN_IMAGES, DRAWINGS = 20, 9  # given of an unseen class, or character


def told_headline(rows, records):
    """Rows [result, measure, ours, compared with, paper] of told.csv: HyperVAE beside the best of the other models that
    are told the same of a test image, of the longest training on each set that has both.
    """
    table, found = over_seeds(rows[rows["part"] == "test"], ["neg_elbo"]), []
    table["ours"] = table["method"].isin(OURS)
    for (dataset, told), alike in table.groupby(["dataset", "told"], sort=False):
        lengths = alike.groupby("iterations")["ours"].nunique()
        for iterations in lengths.index[lengths == 2][-1:]:
            of_others = ~alike["method"].str.startswith("hypervae")
            best = alike[(alike["iterations"] == iterations) & (alike["ours"] | of_others)]
            best = best.sort_values("neg_elbo_mean").drop_duplicates("ours").set_index("ours")
            own, other = (plus_minus(best.at[is_ours, "neg_elbo_mean"]) for is_ours in (True, False))
            measure = f"test -ELBO, nats an image, {count(best.at[True, 'num_seeds'], 'seed')}, {iterations:,} steps"
            cells = [f"HyperVAE {own}", f"{best.at[False, 'method']} {other}, told the same", ""]
            found.append([f"density, {dataset}, told {told}", measure, *cells])
    return found


def generate_headline(rows, records):
    """Of generate.csv: the best of what generates all weights beside the best of what generates fewer, test part."""
    table, found = over_seeds(rows[rows["part"] == "test"], ["neg_elbo"]), []
    table["ours"] = table["generate"].isin(unseen_report.ALL)
    for (dataset, iterations), alike in table.groupby(["dataset", "iterations"], sort=False):
        best = alike.sort_values("neg_elbo_mean").drop_duplicates("ours").set_index("ours")
        if len(best) == 2:
            seeds = count(best["num_seeds"].min(), "seed")
            measure = f"test -ELBO, nats an image, {seeds}, {iterations:,} steps"
            cells = [
                f"{best.at[own, 'generate'].replace('_', ' ')} {plus_minus(best.at[own, 'neg_elbo_mean'])}"
                for own in (True, False)
            ]
            found.append([f"what u generates, {dataset}", measure, *cells, ""])
    return found


def unseen_headline(rows, records):
    """Of unseen.csv: all weights, tuned to UNSEEN_IMAGES images, beside the best tuned model of the same classes."""
    found = []
    for (dataset, _, iterations), own in unseen_report.unseen_by_seed(rows, records).groupby(
        ["dataset", "protocol", "iterations"], sort=False
    ):
        own = own[(own["num_context"] == UNSEEN_IMAGES) & own["method"].str.endswith("_finetuned")]
        classes = own.groupby("variant")["class"].transform("nunique")
        own = own[classes == classes.max()]
        means = own.groupby(["method", "class"])["neg_elbo"].mean().groupby("method").mean().sort_values()
        is_ours = means.index.str.removesuffix("_finetuned").isin(unseen_report.ALL)
        if is_ours.any() and not is_ours.all():
            measure = f"-ELBO, nats an image, mean of {own['class'].nunique()} classes"
            measure += f", {iterations:,} steps, seeds averaged"
            cells = [
                f"{part.index[0].replace('_', ' ')} {part.iloc[0]:.1f}" for part in (means[is_ours], means[~is_ours])
            ]
            found.append([f"unseen classes, {dataset}, {UNSEEN_IMAGES} images", measure, *cells, ""])
    return found


def characters_headline(rows, records):
    """Of characters.csv: HyperVAE given DRAWINGS drawings beside the best other model, the VAEs told nothing."""
    lines = [line for line in lines_by_size(rows, records, "num_context", "nll_is") if line["part"] == "test"]
    nats = [(line["mean"].get(DRAWINGS, line["mean"].get(0)), line["method"], line) for line in lines]
    nats = [own for own in nats if own[0] is not None]
    nats.sort(key=lambda own: own[0], reverse=True)  # the best is last, and so stays
    found = {own[1].removesuffix("_fitted") in unseen_report.ALL: own for own in nats}
    if len(found) < 2:
        return []
    line = found[True][2]
    measure = f"-log p by {line['draws']:,.0f} draws, nats an image, {count(line['num_seeds'], 'seed')}"
    measure += f", {line['iterations']:,.0f} steps"
    cells = [f"{name.replace('_', ' ')} {value:.1f}" for value, name, _ in (found[True], found[False])]
    best = min(published.get(DRAWINGS, float("inf")) for published in PUBLISHED.values())
    return [[f"unseen characters, {DRAWINGS} drawings", measure, *cells, f"others' {best}"]]
