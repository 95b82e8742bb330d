"""The sentences of Pereira et al. in their published layout, written here; and wrong files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from brainnet.dataset.readers.pereira2018 import Pereira2018
from brainnet.store import TokenStore
from tests.toy_words import WordVectors

TOPICS, PASSAGES, SENTENCES = 6, 12, 48  # two passages of a topic, four sentences of a passage


def cells(texts, across=False):
    found = np.empty((1, len(texts)) if across else (len(texts), 1), object)
    for place, text in enumerate(texts):
        found.ravel()[place] = np.array([text], object)
    return found


def write_pereira2018(root, n_voxels=6):
    """One person; passage p is of topic p // 2, sentence s of passage s // 4, and its response is s + voxel / 10."""
    (root / "P01").mkdir(parents=True)
    savemat(root / "P01" / "examples_384sentences.mat", {
        "examples": np.arange(SENTENCES)[:, None] + np.arange(n_voxels) / 10,
        "keySentences": cells([f"Sentence number {s}." for s in range(SENTENCES)]),
        "labelsSentences": np.arange(SENTENCES)[:, None] + 1,
        "labelsPassageForEachSentence": np.repeat(np.arange(PASSAGES), 4)[:, None] + 1,
        "keyPassages": cells([f"passage{p}" for p in range(PASSAGES)]),
        "labelsPassageCategory": np.repeat(np.arange(TOPICS), 2)[:, None] + 1,
        "keyPassageCategory": cells([f"topic{t}" for t in range(TOPICS)], across=True),
    })  # fmt: skip
    return root


def build(root, **options):
    return Pereira2018(root, **{"test": 2, "val": 1, **options})


def test_sentences_responses_and_topics_are_read(tmp_path):
    data = build(write_pereira2018(tmp_path))
    assert data.image_ids[9] == "384sentences.9"
    assert data.load_image(9) == "Sentence number 9."
    np.testing.assert_allclose(data.responses[9], 9 + np.arange(6) / 10, rtol=1e-6)
    assert (data.passages[9], data.topics[9]) == ("passage2", "topic1")
    assert list(data.groups) == list(data.passages)


def test_topics_are_held_out_whole(tmp_path):
    data = build(write_pereira2018(tmp_path))
    of_split = {name: set(data.topics[rows.numpy()]) for name, rows in data.splits.items()}
    assert [len(of_split[name]) for name in ("train", "val", "test")] == [3, 1, 2]
    assert len(set.union(*of_split.values())) == TOPICS
    assert sum(map(len, data.splits.values())) == SENTENCES
    other = build(tmp_path, seed=1)
    assert set(other.topics[other.splits["test"].numpy()]) != of_split["test"]


def test_a_network_of_text_reads_it(tmp_path):
    data = build(write_pereira2018(tmp_path))
    store = TokenStore.build(WordVectors(), data, grid=(1, 1), progress=False)
    assert store.image_ids == data.image_ids


def _file(change):
    def apply(root):
        path = root / "P01" / "examples_384sentences.mat"
        held = {name: value for name, value in loadmat(path).items() if name[0] != "_"}
        change(held)
        savemat(path, held)

    return apply


@pytest.mark.parametrize(
    ("change", "options", "error", "named"),
    [
        (lambda r: None, {"subject": "P02"}, FileNotFoundError, "P02"),
        (lambda r: None, {"experiment": 3}, FileNotFoundError, "examples_243sentences.mat"),
        (lambda r: None, {"experiment": 1}, ValueError, "2, 3"),
        (lambda r: None, {"test": 5}, ValueError, "6 topics"),
        (lambda r: (r / "P01" / "examples_384sentences.mat").write_bytes(b"x"), {}, ValueError, "examples_384"),
        (_file(lambda m: m.pop("keyPassages")), {}, ValueError, "keyPassages"),
        (_file(lambda m: m.update(examples=np.ones((47, 6)))), {}, ValueError, "47 responses and 48"),
        (_file(lambda m: m.update(examples=np.ones((2, 3, 4)))), {}, ValueError, "examples"),
        (_file(lambda m: m.update(keySentences=cells([" "] * 48))), {}, ValueError, "keySentences.*place 1"),
        (_file(lambda m: m.update(labelsPassageForEachSentence=np.full((48, 1), 13))), {}, ValueError, "1 to 12"),
        (_file(lambda m: m.update(labelsPassageCategory=np.zeros((12, 1)))), {}, ValueError, "1 to 6"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, options, error, named):
    write_pereira2018(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=named):
        build(tmp_path, **options)
