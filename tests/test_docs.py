"""README and docs: what they point at is there, and the options that they name."""

import re

import pytest
from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(page):
    """Those within the repository."""
    found = re.findall(r"\]\((?:<([^>]+)>|([^)\s]+))\)", page.read_text())
    return [link for pair in found for link in pair if link and "://" not in link]


def anchors(page):
    """Those that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", filter(links, PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_options_exist():
    code = [*ROOT.glob("*.py"), *(ROOT / "common").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    known = {option for path in code for option in re.findall(r"[\"'](--[a-z][a-z0-9-]*)[\"']", path.read_text())}
    named = {option for page in [*PAGES, ROOT / "Makefile"] for option in options_of(page)}
    assert len(named) > 50 and not named - known - {"--help"}


def options_of(page):
    """The options of python's commands, and those that stand alone as code."""
    text = page.read_text()
    lines = [line for line in text.splitlines() if "pip " not in line and "ruff " not in line and "pytest " not in line]
    return re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", "\n".join(lines))
