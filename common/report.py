"""results/README.md: our numbers beside the papers', composed of the sections that each system makes of its tables."""

from pathlib import Path

from common.discovery import alloy_report, design_report, search_report
from common.errors import InputError
from common.hypervae import report as hypervae
from common.implicit import classification_report, regression_report
from common.names import GENERATED, is_file_name
from common.runs.storage import locked, write_atomically
from common.runs.summaries import markdown_table
from common.tvae import report as tvae

REPORTS = (hypervae, search_report, alloy_report, design_report, regression_report, classification_report, tvae)
OWN = "Your own data"
HEADLINE = ["result", "measure", "ours", "compared with", "paper"]


def write_report(results_dir):
    """Write <results_dir>/README.md from the tables found there.

    Each of REPORTS has sections(results_dir, own), a list of (title, Markdown) on sets that come with the
    project or on a user's own, and headline(results_dir), rows of HEADLINE. One process writes at a time: the last one
    has seen all rows that others have added.
    """
    with locked(results_dir):
        _write_report(Path(results_dir))


def finish(folder):
    """What a script that measures does last: the report is written, and where it and the script's tables are is said.

    Args:
        folder: the script's own, in the results folder.
    """
    write_report(folder.parent)
    print(f"tables and figures: {folder}; report: {folder.parent / 'README.md'}")


def _write_report(results_dir):
    sections, own = (_gathered(results_dir, "sections", own) for own in (False, True))
    headline = _gathered(results_dir, "headline")
    for found, of_own in ((sections, False), (own, True)):
        figures = [path.relative_to(results_dir) for path in sorted(results_dir.glob("[0-9]*/**/*.png"))]
        figures = [path for path in figures if not path.name.startswith(".")]  # one that another process is writing
        names = [path.as_posix() for path in figures if _is_own(path) == of_own]
        if names:
            found.append(("Figures", "\n".join(f"- [{name}](<{name}>)" for name in names)))
    if own:
        text = "Nothing of the papers stands beside these rows, and no other section has them."
        sections.append((OWN, "\n\n".join([text, *(f"### {title}\n\n{body.strip()}" for title, body in own)])))
    parts = [
        "# Results",
        f"{GENERATED} from the CSV files beside it; not edited by hand. Nats per image unless said "
        "otherwise; mean +- standard deviation over seeds. A row's `run` names its settings, which stand in "
        "`settings.json` beside its table.",
    ]
    if headline:
        parts += ["## Headline", markdown_table(HEADLINE, headline)]
    if sections:
        parts += ["## Contents", "\n".join(f"- [{title}](#{_anchor(title)})" for title, _ in sections)]
    parts += [f"## {title}\n\n{body.strip()}" for title, body in sections]
    write_atomically(results_dir / "README.md", lambda temporary: temporary.write_text("\n\n".join(parts) + "\n"))


def _gathered(results_dir, what, *options):
    """The sections, or rows of the headline, of all systems.

    Raises:
        InputError: a table lacks a column, or a cell of it is no number.
    """
    found = []
    for part in REPORTS:
        try:
            found += getattr(part, what)(results_dir, *options)
        except (KeyError, TypeError) as error:
            of = part.__name__.rpartition(".")[2].replace("_", " ")
            raise InputError(
                f"a table in {results_dir} lacks a column, or has a word for a number ({of}: {error}): restore its "
                "file, or delete it and run its script again"
            ) from error
    return found


def _is_own(figure):
    """Whether a figure's name, or its folder's, holds the name of a user's file."""
    return any(map(is_file_name, (figure.stem, *figure.parent.parts)))


def _anchor(title):
    """The anchor that GitHub gives a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -")
    return kept.replace(" ", "-")
