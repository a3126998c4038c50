"""results/README.md: composed of sections with a table of contents, of whatever tables are there."""

from types import SimpleNamespace

import pytest

from common import report
from common.errors import InputError

SECTIONS = [("Table 1: density, told", "body of one\n"), ("Table 2", "body of two")]


def test_an_empty_folder_gives_a_report_without_sections(tmp_path):
    report.write_report(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Results") and "## " not in text


def test_a_table_that_lacks_a_column_is_one_line(tmp_path, monkeypatch):
    """Whichever script writes the report: it need not be the one whose table is incomplete."""

    def sections(folder, own):
        raise KeyError("auc")

    monkeypatch.setattr(report, "REPORTS", (SimpleNamespace(__name__="common.hypervae.report", sections=sections),))
    with pytest.raises(InputError, match="lacks a column, or has a word for a number .*auc.*: restore its file"):
        report.write_report(tmp_path)
    assert not (tmp_path / "README.md").exists()


def test_contents_headline_and_figures(tmp_path, monkeypatch):
    part = SimpleNamespace(
        sections=lambda folder, own: [] if own else SECTIONS,
        headline=lambda folder: [["density", "nats an image", "93.1", "97.4", "106.8"]],
    )
    monkeypatch.setattr(report, "REPORTS", (part,))
    (tmp_path / "01_train" / "mnist").mkdir(parents=True)
    (tmp_path / "01_train" / "mnist" / "walk.png").touch()
    report.write_report(tmp_path)
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert "- [Table 1: density, told](#table-1-density-told)" in lines and "- [Figures](#figures)" in lines
    assert "| density | nats an image | 93.1 | 97.4 | 106.8 |" in lines
    assert "- [01_train/mnist/walk.png](<01_train/mnist/walk.png>)" in lines
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Headline", "## Contents", "## Table 1: density, told", "## Table 2", "## Figures"]
