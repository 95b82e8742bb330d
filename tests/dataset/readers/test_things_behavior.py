"""THINGS behavior against loops over all triplets; files in the published layout, and wrong ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from brainnet.dataset import DATASETS
from brainnet.dataset.readers.things_behavior import ThingsBehavior, choice_probability, kept_together
from tests.dataset.readers.things_eeg_folder import write_pictures

OBJECTS = ["aardvark", "abacus", "bat1", "camel", "dog", "egg"]
ROWS = list(itertools.permutations(range(6), 3))


def write_behavior(root, seed=0, pictures=True):
    """Files of six objects; returns the embedding and the choices."""
    generator = np.random.default_rng(seed)
    embedding = generator.uniform(0, 0.4, size=(6, 66))
    for folder in ("data/embedding49", "variables", "triplet_dataset"):
        (root / folder).mkdir(parents=True)
    np.savetxt(root / "data/spose_embedding_66d_sorted.txt", embedding)
    np.savetxt(root / "data/embedding49/spose_embedding_49d_sorted.txt", embedding[:, :49])
    (root / "variables/unique_id.txt").write_text("\n".join(OBJECTS) + "\n")
    chosen = np.array([ROWS[k] for k in generator.integers(0, len(ROWS), 60)])
    chosen = chosen[~((chosen == 0).any(1) & (chosen == 5).any(1))]  # these two are never together
    np.savetxt(root / "triplet_dataset/trainset.txt", chosen, fmt="%d")
    if pictures:
        write_pictures(root / "object_images", [f"{name}/{name}_01b.jpg" for name in OBJECTS])
    return embedding, chosen


def by_hand(x):
    """The probability that two stay together, by a loop over the third ones."""
    weight = np.exp(x @ x.T)
    found = np.ones((len(x), len(x)))
    for i, j in itertools.permutations(range(len(x)), 2):
        others = [k for k in range(len(x)) if k not in (i, j)]
        found[i, j] = np.mean([weight[i, j] / (weight[i, j] + weight[i, k] + weight[j, k]) for k in others])
    return found


def test_similarity_is_the_probability_to_stay_together(tmp_path):
    embedding, _ = write_behavior(tmp_path)
    np.testing.assert_allclose(choice_probability(torch.from_numpy(embedding)), by_hand(embedding), rtol=1e-10)
    data = DATASETS["things_behavior"].from_settings(str(tmp_path), 0)
    np.testing.assert_allclose(data.rdms["behavior"].to_square()[0], 1 - by_hand(embedding), rtol=1e-6)
    assert data.rdms["behavior"].conditions == tuple(OBJECTS)
    np.testing.assert_allclose(data.embedding, embedding)
    assert data.load_image(2).size == (16, 16)
    old = ThingsBehavior(tmp_path, source="embedding49", progress=False)
    np.testing.assert_allclose(old.rdms["behavior"].to_square()[0], 1 - by_hand(embedding[:, :49]), rtol=1e-6)


def test_choices_are_counted(tmp_path):
    _, chosen = write_behavior(tmp_path, pictures=False)
    data = ThingsBehavior(tmp_path, source="triplets")
    square = data.rdms["behavior"].to_square()[0]
    for i, j in itertools.combinations(range(6), 2):
        shown = [row for row in chosen.tolist() if i in row and j in row]
        assert data.counts[i, j] == data.counts[j, i] == len(shown)
        if shown:
            assert square[i, j] == pytest.approx(np.mean([row[2] in (i, j) for row in shown]))
        else:
            assert square[i, j].isnan()
    assert square[0, 5].isnan()
    assert data.images is None
    assert kept_together(chosen, 6)[0].diagonal().tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("variables/unique_id.txt", None, "unique_id.txt"),
        ("variables/unique_id.txt", "dog\ndog\n", "2 objects, 1 of them"),
        ("variables/unique_id.txt", "dog\ncat\n", "6 x 66 numbers; expected 2 x 66"),
        ("data/spose_embedding_66d_sorted.txt", None, "spose_embedding_66d_sorted.txt"),
        ("data/spose_embedding_66d_sorted.txt", "", "0 numbers"),
        ("data/spose_embedding_66d_sorted.txt", "1 2\n3\n", "3 numbers in 2 lines; expected 2"),
        ("data/spose_embedding_66d_sorted.txt", "a b\n", "66d_sorted.txt.*damaged"),
        ("data/spose_embedding_66d_sorted.txt", f"{'1 ' * 65}nan\n" * 6, "6 x 66 finite ones"),
        ("data/spose_embedding_66d_sorted.txt", f"{'1 ' * 65}\n" * 6, "6 x 65 numbers; expected 6 x 66"),
        ("triplet_dataset/trainset.txt", None, "trainset.txt"),
        ("triplet_dataset/trainset.txt", "0 1 2\n3 3 1\n", "line 2"),
        ("triplet_dataset/trainset.txt", "0 1 6\n", "line 1.*0 to 5"),
        ("triplet_dataset/trainset.txt", "0 1 2.5\n", "line 1"),
        ("triplet_dataset/trainset.txt", "0 1\n", "expected 3 a line"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, name, content, words):
    write_behavior(tmp_path, pictures=False)
    path = tmp_path / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as refused:
        ThingsBehavior(tmp_path, source="triplets" if "triplet" in name else "embedding66", progress=False)
    assert "\n" not in str(refused.value)


def test_a_list_of_objects_that_may_be_cut_is_told(tmp_path):
    write_behavior(tmp_path, pictures=False)
    path = tmp_path / "variables/unique_id.txt"
    path.write_text(path.read_text()[:-2])  # "egg" has become "eg"
    with pytest.warns(UserWarning, match="unique_id.txt does not end with a line break"):
        ThingsBehavior(tmp_path, progress=False)


def test_a_missing_photograph_is_named(tmp_path):
    write_behavior(tmp_path)
    (tmp_path / "object_images/dog/dog_01b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="dog_01b"):
        ThingsBehavior(tmp_path, progress=False)


LARGE = "triplets_large_final_correctednc_correctedorder.csv"


def write_choices(root, sep="\t", newline="\n", quote="", change=lambda rows: None):
    """The table of all choices, objects from 1, the odd one at any place; those of trainset.txt."""
    chosen = np.loadtxt(root / "triplet_dataset/trainset.txt", dtype=int) + 1
    rows = [[*np.roll(triplet, k).tolist(), int(triplet[2]), f"p{k}", k % 4] for k, triplet in enumerate(chosen)]
    change(rows)
    header = [
        f"{quote}{name}{quote}" for name in ("image1", "image2", "image3", "choice", "subject_id", "noise_ceiling")
    ]
    text = newline.join(sep.join(map(str, row)) for row in [header, *rows])
    (root / "triplet_dataset" / LARGE).write_bytes((text + newline).encode("utf-8-sig" if quote else "utf-8"))


@pytest.mark.parametrize(("sep", "newline", "quote"), [("\t", "\n", ""), (",", "\r\n", '"'), (";", "\n", "")])
def test_the_table_of_all_choices_is_read_with_its_separator(tmp_path, sep, newline, quote):
    write_behavior(tmp_path)
    write_choices(tmp_path, sep, newline, quote)
    data, same = (ThingsBehavior(tmp_path, source="triplets", triplets=name) for name in (LARGE, "trainset"))
    assert torch.equal(data.counts, same.counts)
    torch.testing.assert_close(data.rdms["behavior"].values, same.rdms["behavior"].values, equal_nan=True)


@pytest.mark.parametrize(
    ("sep", "change", "words"),
    [(" ", lambda rows: None, "'image1' between tabs"), ("\t", lambda rows: rows[2].__setitem__(3, 99), "line 4.*'99'"),
     ("\t", lambda rows: rows[1].__setitem__(0, 7), "line 3.*1 to 6"), ("\t", lambda rows: rows.clear(), "no choices"),
     ("\t", lambda rows: rows[0].__setitem__(0, "dog"), "cannot read")],
)  # fmt: skip
def test_a_wrong_table_of_choices_is_named(tmp_path, sep, change, words):
    write_behavior(tmp_path)
    write_choices(tmp_path, sep, change=change)
    with pytest.raises(ValueError, match=words) as caught:
        ThingsBehavior(tmp_path, source="triplets", triplets=LARGE)
    assert LARGE in str(caught.value)
