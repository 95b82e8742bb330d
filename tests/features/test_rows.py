"""Rows in chunks: the same whatever stopped the work and whoever did it; damaged chunks are made again, alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from brainnet.features.rows import RowsFolder

N, BATCH = 21, 2
TRUTH = {
    "wide": np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32),
    "one": np.random.default_rng(1).normal(size=(N, 1)).astype(np.float32),
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("brainnet.features.rows.IMAGES", 5)  # two batches of two


def opened(folder, **identity) -> RowsFolder:
    rows = RowsFolder(folder, {"network": "a", **identity}, N, BATCH)
    rows.begin()
    return rows


def make(rows: RowsFolder, chunks, in_place: bool = False) -> list[range]:
    batches = rows.batches(chunks)
    made = ({layer: values[b.start : b.stop] for layer, values in TRUTH.items()} for b in batches)
    rows.put(chunks, made, in_place)
    return batches


def whole(rows: RowsFolder) -> bool:
    return all(np.array_equal(np.concatenate(list(rows.parts(layer))), TRUTH[layer]) for layer in TRUTH)


@pytest.mark.parametrize("in_place", [False, True])
def test_rows_come_back_as_they_went_in(tmp_path, in_place):
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing(), in_place)
    assert rows.widths == {"wide": 5, "one": 1}
    assert rows.images_done() == N
    assert whole(rows)
    assert whole(opened(tmp_path / "rows"))


@pytest.mark.parametrize("n_parts", [2, 3, 10])
def test_processes_share_the_chunks_and_write_the_same_files(tmp_path, n_parts):
    alone = opened(tmp_path / "alone")
    make(alone, alone.missing())
    shares = [opened(tmp_path / "shared") for _ in range(n_parts)]
    batches = [batch for part, rows in enumerate(shares) for batch in make(rows, rows.missing(part, n_parts))]
    assert sorted(i for batch in batches for i in batch) == list(range(N))
    assert whole(shares[0])
    for path in (tmp_path / "alone").iterdir():
        assert (tmp_path / "shared" / path.name).read_bytes() == path.read_bytes()


def test_what_is_there_is_not_made_again(tmp_path):
    make(opened(tmp_path / "rows"), [0, 2])
    rows = opened(tmp_path / "rows")
    assert rows.images_done() == 8
    assert rows.missing() == [1, 3, 4, 5]
    make(rows, rows.missing())
    assert whole(rows)


@pytest.mark.parametrize("damage", ["cut", "emptied", "first", "middle", "tail", "last", "swapped"])
def test_a_damaged_chunk_is_made_again_alone(tmp_path, damage):
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing())
    path = sorted((tmp_path / "rows").glob("*.rows"))[1]
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        raw = raw[:-5]
    elif damage == "emptied":
        raw = raw[:0]
    elif damage == "swapped":
        other = opened(tmp_path / "other", network="b")
        make(other, other.missing())
        raw = bytearray((tmp_path / "other" / path.name).read_bytes())
    else:
        raw[{"first": 0, "middle": 40, "tail": -60, "last": -1}[damage]] ^= 1
    path.write_bytes(raw)
    again = opened(tmp_path / "rows")
    assert again.missing() == [1]
    if damage not in ("first", "middle"):  # of which the tail says nothing
        with pytest.raises(ValueError, match="damaged"):
            list(opened(tmp_path / "rows").parts("one"))
    make(again, [1])
    assert whole(again)


def test_rows_written_in_place_are_the_array_file_itself(tmp_path):
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing(), in_place=True)
    for layer, values in TRUTH.items():
        path = rows.array(layer).path
        assert np.array_equal(np.load(path), values)
        assert rows.array(layer).digest() == hashlib.sha256(path.read_bytes()).hexdigest()
        np.save(tmp_path / "saved.npy", values)
        assert path.read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_rows_of_which_another_process_wrote_some_are_no_array_file(tmp_path):
    rows = opened(tmp_path / "rows")
    make(rows, [0, 2])
    make(rows, rows.missing(), in_place=True)
    assert rows.array("wide") is None
    assert whole(opened(tmp_path / "rows"))


def test_work_that_was_stopped_goes_on_in_place_without_a_digest(tmp_path):
    make(opened(tmp_path / "rows"), [0, 1], in_place=True)
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing(), in_place=True)
    assert np.array_equal(np.load(rows.array("wide").path), TRUTH["wide"])
    assert rows.array("wide").digest() is None


def test_more_layers_than_files_may_be_open_are_not_written_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr("brainnet.features.rows.MOST_ARRAYS", 1)
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing(), in_place=True)
    assert rows.array("wide") is None
    assert whole(rows)


@pytest.mark.parametrize("damage", ["gone", "cut", "number", "header", "longer"])
def test_damage_to_rows_in_place_is_never_taken_for_the_result(tmp_path, damage):
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing(), in_place=True)
    path = rows.array("wide").path
    raw = bytearray(path.read_bytes())
    changed = {"cut": raw[:-3], "longer": raw + b"more"}.get(damage, raw)
    if damage in ("number", "header"):
        changed[{"number": -4 * 5 * (N - 6), "header": 60}[damage]] ^= 1  # a number of the sixth picture
    path.unlink() if damage == "gone" else path.write_bytes(changed)
    again = opened(tmp_path / "rows")
    expected = {"gone": [0, 1, 2, 3, 4, 5], "cut": [5], "number": [1], "header": [], "longer": []}[damage]
    assert again.missing() == expected
    if not expected:
        assert again.array("wide") is None  # and its rows are taken one by one
    make(again, expected, in_place=True)
    assert whole(again)
    if expected:
        assert np.array_equal(np.load(again.array("wide").path), TRUTH["wide"])


def test_rows_are_not_written_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere.npy"
    elsewhere.write_bytes(b"mine")
    rows = opened(tmp_path / "rows")
    (tmp_path / "rows" / "wide.npy").symlink_to(elsewhere)
    with pytest.raises(OSError, match="wide"):
        make(rows, rows.missing(), in_place=True)
    assert elsewhere.read_bytes() == b"mine"


def test_rows_of_something_else_are_refused(tmp_path):
    make(opened(tmp_path / "rows"), [0])
    with pytest.raises(ValueError, match="network: a there, b now"):
        opened(tmp_path / "rows", network="b")
    with pytest.raises(ValueError, match="batch_size: 2 there, 3 now"):
        RowsFolder(tmp_path / "rows", {"network": "a"}, N, 3).begin()


def test_a_batch_that_fails_leaves_the_chunks_before_it(tmp_path):
    rows = opened(tmp_path / "rows")

    def batches():
        for batch in rows.batches(rows.missing())[:3]:
            yield {layer: values[batch.start : batch.stop] for layer, values in TRUTH.items()}
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        rows.put(rows.missing(), batches())
    assert opened(tmp_path / "rows").missing() == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "rows").iterdir())) == 2
