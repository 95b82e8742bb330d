"""The folder that COCO's knowledge of NSD's photographs fills: pictures, masks, tables, figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.dataset.coco import NSDCoco
from brainnet.run import write_photographs
from tests.dataset.coco.coco_folder import CAPTIONS, FIRST, write_coco, write_nsd
from tests.tables import listed_tables


@pytest.fixture
def places(tmp_path):
    return write_nsd(tmp_path / "nsd"), write_coco(tmp_path / "coco")


def test_a_folder_holds_pictures_masks_and_tables(places, tmp_path):
    nsd, coco = places
    out = write_photographs(nsd, ["02950"], tmp_path / "out", coco=coco, progress=False)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["captions.csv", "figures/nsd-02950.png", "masks/categories/nsd-02950.png",
                     "masks/things/nsd-02950.png", "pictures/nsd-02950.png", "things.csv"]  # fmt: skip
    known = NSDCoco(nsd, coco)
    assert np.array_equal(np.asarray(Image.open(out / "pictures/nsd-02950.png")), np.asarray(known.picture(2950)))
    masks = known.masks(2950)
    assert np.array_equal(np.asarray(Image.open(out / "masks/categories/nsd-02950.png")), masks.by_category())
    assert np.array_equal(np.asarray(Image.open(out / "masks/things/nsd-02950.png")), masks.by_instance())
    captions, things = pd.read_csv(out / "captions.csv"), pd.read_csv(out / "things.csv")
    assert captions.caption.tolist() == [text.strip() for text in CAPTIONS]
    assert set(captions.coco_id) == {FIRST}
    assert things[["thing", "category", "category_id", "annotation", "crowd"]].to_numpy().tolist() == [
        [1, "dog", 18, 71, 0], [2, "person", 1, 72, 0], [3, "person", 1, 73, 1]]  # fmt: skip
    assert things.pixels.tolist() == masks.pixels.sum((1, 2)).tolist()
    listed = {patterns[0]: columns for patterns, columns in listed_tables()}
    assert set(captions) <= listed["captions.csv"]
    assert set(things) <= listed["things.csv"]


def test_the_command_takes_a_folder_of_pictures_and_keeps_the_whole_photograph(places, tmp_path):
    nsd, coco = places
    named = tmp_path / "named"
    named.mkdir()
    (named / "train-0001_nsd-02950.png").write_text("")
    words = ["datasets", "coco", nsd, named, "--coco", coco, "--out", tmp_path / "out", "--whole", "--no-figures", "-q"]
    result = CliRunner().invoke(cli.app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "out/pictures/nsd-02950.png").size == (60, 40)
    assert not (tmp_path / "out/figures").exists()
    assert pd.read_csv(tmp_path / "out/things.csv").category.tolist() == ["dog", "person", "person", "toothbrush"]


def test_nothing_is_written_where_an_id_is_unknown_or_a_photograph_missing(places, tmp_path):
    nsd, coco = places
    with pytest.raises(ValueError, match="'5'"):
        write_photographs(nsd, ["2950", "5"], tmp_path / "out", coco=coco)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="val2017"):
        write_photographs(nsd, ["0"], tmp_path / "out", coco=coco)
    assert not (tmp_path / "out").exists()
