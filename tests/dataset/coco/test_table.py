"""Ids of NSD and of COCO are told from one another, both ways, and every damaged table is told by its row."""

from __future__ import annotations

import ast
import hashlib

import pandas as pd
import pytest

from brainnet.dataset.coco import StimulusTable
from brainnet.dataset.coco.table import number_of
from tests.dataset.coco.coco_folder import FIRST, SECOND, write_nsd, write_table


def test_ids_go_both_ways(tmp_path):
    table = StimulusTable(write_nsd(tmp_path))
    for name in (2950, "2950", "02950", "nsd-02950", "train-0001_nsd-02950"):
        assert table.coco_id(name) == FIRST
    for name in (FIRST, "262145", "000000262145"):
        assert table.nsd_id(name) == 2950
    assert table.row(0) == (0, SECOND, "val2017", (0, 0, 0.1671875, 0.1671875))
    assert len(table) == 3
    assert 2950 in table
    assert [row.nsd_id for row in table] == [0, 2950, 72_999]
    assert table.digest == hashlib.sha256(table.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [1, "73000", -1])
def test_an_id_that_is_not_there_is_told(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}.*3, from 0 to 72999"):
        StimulusTable(write_nsd(tmp_path)).row(name)


def test_numbers_of_coco_that_nsd_has_not_are_told(tmp_path):
    with pytest.raises(ValueError, match="5 of COCO is none of the 3"):
        StimulusTable(write_nsd(tmp_path)).nsd_id(5)


def test_names_that_count_from_one_are_not_taken_for_ids():
    with pytest.raises(ValueError, match="counts from 1.*its id is 11796"):
        number_of("shared0140_nsd11797", "nsd")
    for name in ("nsd02951", "a2950", "", "image_5"):
        with pytest.raises(ValueError, match="no id of NSD"):
            number_of(name, "nsd")
    with pytest.raises(ValueError, match="no id of COCO"):
        number_of("nsd-02950", "coco")


def test_the_table_of_net2brain_is_read_as_well(tmp_path):
    path = tmp_path / "coco.csv"
    path.write_text('nsd_id,coco_id,coco_split,cropBox\n02950,262145,train2017,"(0, 0, 0.1, 0.1)"\n')
    assert StimulusTable(path).coco_id("02950") == FIRST


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(1, 5, "train2017", "(0, 0, 0, 0)"), (1, 6, "train2017", "(0, 0, 0, 0)")], "photograph 1 twice"),
        ([(1, 5, "train2017", "(0, 0, 0, 0)"), (2, 5, "train2017", "(0, 0, 0, 0)")], "COCO twice"),
        ([(1, 5, "test2017", "(0, 0, 0, 0)")], "row 0 .*'test2017'"),
        ([(1, 5, "val2017", "(0, 0, 0)")], "row 0 .*cropBox"),
        ([(1, 5, "val2017", "(0, 0, .5, .5)")], "cropBox"), ([(1, 5, "val2017", "(-.1, 0, 0, 0)")], "cropBox"),
        ([(1, 5, "val2017", "__import__('os').abort()")], "cropBox"), ([("x", 5, "val2017", "")], "row 0 .*'x'"),
        ([], "no rows"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_told_by_its_row(tmp_path, rows, words):
    with pytest.raises(ValueError, match=words):
        StimulusTable(write_table(tmp_path / "table.csv", rows))


def test_another_table_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nsd_stim_info_merged.csv"):
        StimulusTable(tmp_path)
    (tmp_path / "a.csv").write_text("cocoId,nsdId\n1,2\n")
    with pytest.raises(ValueError, match="no column cocoSplit"):
        StimulusTable(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="a.csv"):
        StimulusTable(tmp_path / "a.csv")


def test_the_shared_photographs_go_there_and_back(tmp_path, test_data):
    """The numbers in COCO of the 1,000 photographs that all subjects saw, and three of their names in NSD."""
    shared = pd.read_csv(test_data / "nsd_metadata/deepnsd_shared1000.csv")
    assert shared.image_id.is_unique
    assert (len(shared), FIRST in set(shared.image_id)) == (1000, True)  # 262145 is 02950 in what Net2Brain shows
    captions = shared.coco_captions.map(ast.literal_eval)
    assert captions.map(len).between(5, 7).all()
    pairs = {nsd: int(coco) for nsd, coco in enumerate(shared.image_id)}
    rows = [(nsd, coco, "train2017", "(0, 0, 0, 0)") for nsd, coco in pairs.items()]
    table = StimulusTable(write_table(tmp_path / "table.csv", rows))
    assert {nsd: table.coco_id(nsd) for nsd in pairs} == pairs
    assert all(table.nsd_id(f"{coco:012d}") == nsd for nsd, coco in pairs.items())
    names = [path.stem for path in sorted((test_data / "nsd_metadata").glob("shared*.png"))]
    assert len(names) == 3
    for name in names:
        with pytest.raises(ValueError, match=f"its id is {int(name[-5:]) - 1}"):
            table.row(name)
