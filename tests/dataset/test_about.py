"""What a reader says of its data set must be whole, and must agree with what the reader does."""

from __future__ import annotations

import re

import pytest

from brainnet.dataset import DATASETS

PUBLISHED = [name for name in DATASETS.names() if DATASETS[name].about is not None]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_line_is_there(name):
    about = DATASETS[name].about
    assert about.title
    assert about.kind in ("fMRI", "EEG", "MEG", "spikes", "behavior", "RDMs")
    for words in (about.what, about.where, about.terms, about.size, about.verified):
        assert words.endswith(".")
        assert "\n" not in words
    assert about.layout.strip() == about.layout
    assert re.match(r"@\w+\{\w+,", about.cite)
    assert about.cite.count("{") == about.cite.count("}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_may_be_fetched_is_within_the_folder(name):
    for file in DATASETS[name].about.downloads:
        assert not file.path.startswith(("/", "..", "~"))
        assert file.address.startswith("https://")
        assert file.digest == "" or re.fullmatch(
            r"(md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64})", file.digest
        )
