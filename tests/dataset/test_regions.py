"""Regions by published labels: names, families that share names, tables of names, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.regions import ATLASES, ROI_GROUPS, areas_of, regions_of


def test_areas_are_where_their_label_is():
    labels = np.array([-1, 0, 1, 7, 7, np.nan], dtype=">f4")  # as published maps are stored
    areas = areas_of("streams", labels, "file")
    assert list(areas)[:2] == ["early", "midventral"]
    assert areas["early"].tolist() == [False, False, True, False, False, False]
    assert areas["parietal"].tolist() == [False, False, False, True, True, False]


def test_an_atlas_carries_its_name_and_its_order():
    areas = areas_of("Kastner2015", torch.tensor([12, 13, 25]), "file")
    assert areas["Kastner2015.TO2"].tolist() == [True, False, False]
    assert areas["Kastner2015.TO1"].tolist() == [False, True, False]
    assert areas["Kastner2015.FEF"].tolist() == [False, False, True]
    assert len(ATLASES["Kastner2015"]) == 25
    own = areas_of("HCP_MMP1", [1], "file", {1: "V1"}, own=True)
    assert list(own) == ["HCP_MMP1.V1"]


def test_labels_without_names_are_numbers():
    assert list(areas_of("myatlas", [0, 3, 9], "file")) == ["myatlas.3", "myatlas.9"]


@pytest.mark.parametrize(
    ("labels", "words"), [([0, 8], r"holds labels \[8\]; streams has 1 to 7"), ([0.5], "holds fractions")]
)
def test_labels_that_mean_nothing_are_refused(labels, words):
    with pytest.raises(ValueError, match=f"the.mgz {words}"):
        areas_of("streams", labels, "the.mgz")


def test_groups_come_first_and_by_hemisphere():
    areas = {"V1v": torch.tensor([True, False, False]), "V1d": torch.tensor([False, True, False])}
    found = regions_of(areas, torch.tensor([True, False, False]))
    assert list(found) == ["V1", "V1v", "V1d", "lh.V1", "rh.V1"]
    assert found["rh.V1"].tolist() == [False, True, False]
    assert "lh.V1" not in regions_of(areas, None)
    assert len(ROI_GROUPS) == 12
