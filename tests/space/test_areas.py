"""Names of the areas of published atlases."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.space import read_atlas
from brainnet.space.areas import BENSON, HCP, WANG, known_atlas


def test_every_area_has_one_number():
    for areas, n in ((WANG, 25), (BENSON, 12), (HCP, 180)):
        assert len(areas) == len(set(areas)) == n


def test_the_order_of_the_lateral_areas_is_that_of_these_files():
    assert dict(enumerate(WANG, 1))[12] == "TO2"
    assert dict(enumerate(WANG, 1))[17] == "V3A"
    assert dict(enumerate(BENSON, 1))[12] == "V3a"
    numbers = {name: number for number, name in enumerate(HCP, 1)}
    assert (numbers["V1"], numbers["V3A"], numbers["MT"], numbers["p24"]) == (1, 13, 23, 180)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lh.wang15_mplbl.v1_0.mgz", "Wang2015"),
        ("rh.benson14_varea.v4_0.mgz", "Benson2014"),
        ("rh.glasser16_atlas.v1_0.mgz", "HCP_MMP1"),
        ("lh.HCPMMP1.annot", "HCP_MMP1"),
        (
            "Q1-Q6_RelatedValidation210.CorticalAreas_dil_Final_Final_Areas_Group_Colors.32k_fs_LR.dlabel.nii",
            "HCP_MMP1",
        ),
        ("lh.Kastner2015.mgz", "Kastner2015"),
        ("Schaefer2018_1000Parcels_17Networks_order.dlabel.nii", "Schaefer1000_17"),
    ],
)
def test_files_are_known_by_their_names(file, name):
    assert known_atlas(file).name == name


def test_other_files_are_not():
    assert known_atlas("lh.benson14_angle.v4_0.mgz") is None
    assert known_atlas("mine.annot") is None


@pytest.mark.parametrize(
    ("wang", "hcp"),
    [("V1v", "V1"), ("V2d", "V2"), ("V3d", "V3"), ("hV4", "V4"), ("VO1", "V8"), ("TO2", "MST"), ("TO1", "MT"),
     ("V3A", "V3A"), ("LO2", "LO1"), ("IPS1", "IPS1"), ("FEF", "FEF")],
)  # fmt: skip
def test_two_real_atlases_agree_on_what_their_numbers_mean(test_data, wang, hcp):
    """The most frequent area of the one within an area of the other: a wrong order of numbers would not pass."""
    one, other = (
        read_atlas(test_data / f"fsaverage/lh.{name}.mgz") for name in ("wang15_mplbl.v1_0", "glasser16_atlas.v1_0")
    )
    number = {name: key for key, name in one.areas.items()}[wang]
    inside = other.labels.values[one.labels.values == number]
    assert other.areas[np.bincount(inside[inside > 0]).argmax()] == hcp
