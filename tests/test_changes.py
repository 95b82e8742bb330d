"""Release notes by fragments: every fragment lands under its heading, once."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Old.\n\n## [0.1.0]\n\n### Fixed\n\n- Older.\n"


@pytest.fixture(scope="module")
def collect():
    return runpy.run_path(str(ROOT / "changes" / "collect.py"), run_name="collect")


def test_fragments_land_under_their_headings_of_the_unreleased_version(collect, tmp_path):
    (tmp_path / "README.md").write_text("no fragment")
    (tmp_path / "b.added.md").write_text("New\nthing.\n")
    (tmp_path / "a.fixed.md").write_text("Mended.")
    text = collect["collected"](CHANGELOG, collect["fragments_of"](tmp_path))
    unreleased, older = text.split("## [0.1.0]")
    assert "### Added\n\n- New thing.\n- Old.\n" in unreleased
    assert "### Fixed\n\n- Mended.\n" in unreleased
    assert older == "\n\n### Fixed\n\n- Older.\n"


@pytest.mark.parametrize(("name", "text"), [("a.md", "x"), ("a.better.md", "x"), ("a.added.md", " \n")])
def test_a_fragment_of_no_kind_or_without_words_is_refused(collect, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        collect["fragments_of"](tmp_path)


def test_a_changelog_without_the_heading_is_refused(collect):
    with pytest.raises(ValueError, match="Unreleased"):
        collect["collected"]("# Changelog\n", {})


def test_the_fragments_at_hand_can_be_collected(collect):
    text = (ROOT / "CHANGELOG.md").read_text()
    assert collect["collected"](text, {}) == text
    collect["fragments_of"](ROOT / "changes")
