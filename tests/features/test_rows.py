"""Rows in chunks: the same whatever stopped the work and whoever did it; damaged chunks are made again, alone."""

from __future__ import annotations

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


def make(rows: RowsFolder, chunks) -> list[range]:
    batches = rows.batches(chunks)
    rows.put(chunks, ({layer: values[b.start : b.stop] for layer, values in TRUTH.items()} for b in batches))
    return batches


def whole(rows: RowsFolder) -> bool:
    return all(np.array_equal(np.concatenate(list(rows.parts(layer))), TRUTH[layer]) for layer in TRUTH)


def test_rows_come_back_as_they_went_in(tmp_path):
    rows = opened(tmp_path / "rows")
    make(rows, rows.missing())
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
