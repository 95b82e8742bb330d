"""What is said of a data set comes from its reader: options, patterns of files, the table of all."""

from __future__ import annotations

import inspect
import json

import pytest

from brainnet._files import plain
from brainnet.dataset import DATASETS, ResponseDataset, describe_dataset, find_datasets
from brainnet.dataset.about import About, Download
from brainnet.dataset.catalogue import downloads_of, options_with_defaults, reader_options, with_options

PUBLISHED = [name for name in DATASETS.names() if DATASETS[name].about is not None]


def said(**of) -> About:
    usual = {"title": "Toy", "kind": "EEG", "what": "A.", "where": "B.", "terms": "C.", "size": "1 kB.", "layout": "x",
             "cite": "@misc{toy,}", "verified": "D."}  # fmt: skip
    return About(**{**usual, **of})


class Toy(ResponseDataset):
    """A toy.

    A second paragraph, with :class:`~brainnet.dataset.base.ResponseDataset`.

    Args:
        subject: 1 to 3.
        kind, form: two
            of them.
    """

    about = said(
        downloads=(
            Download("all.csv", "https://x/all.csv"),
            Download("1.npy", "https://x/1", option="subject=1"),
            Download("2.npy", "https://x/2", option="subject=2, kind=b"),
        )
    )

    @classmethod
    def from_settings(cls, data_dir, seed, *, subject: int = 1, kind: str = "a", form=None):
        raise NotImplementedError


@pytest.fixture
def toy():
    with DATASETS.temporarily("toy", Toy):
        yield


def test_options_are_those_of_the_signature_with_what_the_docstring_says(toy):
    assert reader_options("toy") == [("subject", 1, "1 to 3."), ("kind", "a", "two of them."),
                                     ("form", None, "two of them.")]  # fmt: skip
    assert options_with_defaults("toy", {"kind": "b"}) == {"subject": 1, "kind": "b", "form": None}
    with pytest.raises(ValueError, match=r"toy.*'subjct'.*'subject'"):
        options_with_defaults("toy", {"subjct": 2})


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_option_of_a_published_data_set_has_a_meaning(name):
    wanted = [p for p in inspect.signature(DATASETS[name].from_settings).parameters if p not in ("data_dir", "seed")]
    assert [option.name for option in reader_options(name)] == wanted
    assert all(option.meaning for option in reader_options(name))


@pytest.mark.parametrize(
    ("pattern", "filled"),
    [
        ("a/{subject:02d}/b_{subject}.npy", "a/03/b_3.npy"), ("{session}/x", "*/x"), ("{nobody}/x", "*/x"),
        ("{name}-{name:02d}", "one-one"), ("plain", "plain"), ("{lh,rh}.npy", "*.npy"),
    ],
)  # fmt: skip
def test_patterns_are_filled_from_the_options(pattern, filled):
    assert with_options(pattern, {"subject": 3, "session": None, "name": "one"}) == filled


def test_downloads_are_those_of_the_options(toy):
    def names(**options) -> list[str]:
        return [file.path for file in downloads_of("toy", options)]

    assert names() == ["all.csv", "1.npy"]
    assert names(subject=2) == ["all.csv"]
    assert names(subject=2, kind="b") == ["all.csv", "2.npy"]
    assert downloads_of("array", {}) == []


def test_all_that_is_known_is_plain(toy):
    known = describe_dataset("toy")
    assert (known["summary"], known["details"]) == ("A toy.", "A second paragraph, with ResponseDataset.")
    assert known["downloads"][2]["option"] == "subject=2, kind=b"
    for name in DATASETS.names():
        assert json.loads(json.dumps(plain(describe_dataset(name))))["name"] == name
    assert "title" not in describe_dataset("array")


def test_the_table_is_searched_by_words_and_kind(toy):
    table = find_datasets()
    assert table["name"].tolist() == DATASETS.names()
    assert table.set_index("name").loc["toy"].tolist() == ["Toy", "EEG", "1 kB.", True, "D."]
    assert {"toy", "things_eeg"} <= set(find_datasets(kind="EEG")["name"])
    assert "nsd" not in set(find_datasets(kind="EEG")["name"])
    found = set(find_datasets("NATURAL scenes")["name"])
    assert {"algonauts", "nsd"} <= found
    assert "toy" not in found
    assert len(find_datasets("nothing like it")) == 0
