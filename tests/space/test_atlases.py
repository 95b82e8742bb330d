"""Atlases: areas by name, whatever their numbers; halves joined, medial walls left out, wrong files refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch

from brainnet.space import BrainSpace, read_areas, read_atlas, surface_space
from brainnet.space.atlases import read_names
from tests.space.test_brain_maps import write_cifti, write_gifti, write_mgz

N = 642  # vertices of fsaverage3


def labels(**places):
    values = np.zeros(N)
    for label, where in places.items():
        values[where] = int(label[1:])
    return values


def write_annot(path, values, names):
    """Labels are rows of the table; -1 is none."""
    table = np.arange(5 * len(names)).reshape(-1, 5) % 250
    table[:, 3] = 0
    table[:, 4] = table[:, 0] + table[:, 1] * 2**8 + table[:, 2] * 2**16
    nibabel.freesurfer.write_annot(path, values.astype(int), table, [n.encode() for n in names], fill_ctab=False)


def areas_at(atlas, vertex, mesh="fsaverage3"):
    """Names of the areas of one vertex."""
    space = BrainSpace(vertices=torch.tensor([vertex]), mesh=mesh)
    try:
        return sorted(atlas.masks(space))
    except ValueError:
        return []


def test_numbers_of_a_known_atlas_become_names(tmp_path):
    write_mgz(tmp_path / "lh.wang15_mplbl.v1_0.mgz", labels(_1=[4], _17=[5]))
    write_mgz(tmp_path / "rh.wang15_mplbl.v1_0.mgz", labels(_1=[6]))
    atlas = read_atlas(tmp_path / "rh.wang15_mplbl.v1_0.mgz")
    assert areas_at(atlas, 4) == ["Wang2015.V1v"] == areas_at(atlas, N + 6)
    assert areas_at(atlas, 5) == ["Wang2015.V3A"]
    assert areas_at(atlas, N + 5) == []
    write_mgz(tmp_path / "rh.wang15_mplbl.v1_0.mgz", labels(_26=[6]))
    with pytest.raises(ValueError, match=r"rh holds labels \[26\]"):
        read_atlas(tmp_path / "lh.wang15_mplbl.v1_0.mgz")


def test_nan_outside_the_cortex_and_labels_below_0_are_no_area(tmp_path):
    values = labels(_1=[4])
    values[7], values[8] = np.nan, -1
    for side in ("lh", "rh"):
        write_mgz(tmp_path / f"{side}.glasser16_atlas.v1_0.mgz", values)
    atlas = read_atlas(tmp_path / "lh.glasser16_atlas.v1_0.mgz")
    assert [areas_at(atlas, v) for v in (4, 7, 8, 9)] == [["HCP_MMP1.V1"], [], [], []]


def test_a_map_of_values_is_no_atlas(tmp_path):
    for side in ("lh", "rh"):
        write_mgz(tmp_path / f"{side}.angle.mgz", np.full(N, 3.5))
    with pytest.raises(ValueError, match="fractions"):
        read_atlas(tmp_path / "lh.angle.mgz")


def test_annotations_have_rows_of_their_own_in_each_hemisphere(tmp_path):
    """As in Schaefer's: 1 to 500 in either hemisphere, and other names; row 0 is the wall."""
    stem = "Schaefer2018_1000Parcels_7Networks_order.annot"
    wall = "Background+FreeSurfer_Defined_Medial_Wall"
    write_annot(tmp_path / f"lh.{stem}", labels(_1=[4], _2=[5]), [wall, "7Networks_LH_Vis_1", "7Networks_LH_Vis_2"])
    right = labels(_1=[4], _2=[5])
    right[9] = -1
    write_annot(tmp_path / f"rh.{stem}", right, [wall, "7Networks_RH_Vis_1", "7Networks_RH_Vis_2"])
    atlas = read_atlas(tmp_path / f"lh.{stem}")
    assert areas_at(atlas, 4) == ["Schaefer1000_7.7Networks_LH_Vis_1"]
    assert areas_at(atlas, N + 5) == ["Schaefer1000_7.7Networks_RH_Vis_2"]
    assert areas_at(atlas, 0) == areas_at(atlas, N + 9) == []
    assert atlas.find("*lh_vis*") == ("7Networks_LH_Vis_1", "7Networks_LH_Vis_2")
    assert len(atlas.areas) == 4


def test_the_first_row_of_an_annotation_may_be_an_area_and_none_is_not_it(tmp_path):
    values = np.full(N, -1.0)
    values[3] = 0
    for side in ("lh", "rh"):
        write_annot(tmp_path / f"{side}.mine.annot", values, ["V1"])
    atlas = read_atlas(tmp_path / "lh.mine.annot")
    assert areas_at(atlas, 3) == ["mine.V1"]
    assert areas_at(atlas, 4) == []


def test_halves_are_matched_by_name_not_by_number(tmp_path):
    """HCP-MMP1: in one file the right ones come first, in another the left ones."""
    for name, (first, second) in {"a": ("R", "L"), "b": ("L", "R")}.items():
        table = {0: "???", 1: f"{first}_V1_ROI", 2: f"{first}_MT_ROI", 3: f"{second}_V1_ROI", 4: f"{second}_MT_ROI"}
        number = {v: k for k, v in table.items()}
        left, right = np.zeros(32_492), np.zeros(32_492)
        left[5], right[6] = number["L_V1_ROI"], number["R_MT_ROI"]
        right[5] = number["R_V1_ROI"]
        write_cifti(tmp_path / f"{name}.dlabel.nii", left, right, table)
        atlas = read_atlas(tmp_path / f"{name}.dlabel.nii", name="")
        assert areas_at(atlas, 5, "fsLR32k") == areas_at(atlas, 32_492 + 5, "fsLR32k") == ["V1"]
        assert areas_at(atlas, 32_492 + 6, "fsLR32k") == ["MT"]
        assert areas_at(atlas, 6, "fsLR32k") == areas_at(atlas, 0, "fsLR32k") == []


def test_names_tell_exchanged_hemispheres(tmp_path):
    for side, names in (("lh", ["???", "R_V1_ROI"]), ("rh", ["???", "L_V1_ROI"])):
        write_annot(tmp_path / f"{side}.HCP-MMP1.annot", labels(_1=[3]), names)
    with pytest.raises(ValueError, match="'R_V1_ROI' lies in the other hemisphere"):
        read_atlas(tmp_path / "lh.HCP-MMP1.annot")


def test_label_gifti_brings_its_names(tmp_path):
    for side, names in (("L", {0: "???", 7: "L_V1"}), ("R", {0: "???", 9: "R_V1"})):
        write_gifti(tmp_path / f"x.{side}.label.gii", labels(_7=[3]) if side == "L" else labels(_9=[3]), names=names)
    atlas = read_atlas(tmp_path / "x.L.label.gii", name="toy")
    assert areas_at(atlas, 3) == areas_at(atlas, N + 3) == ["toy.V1"]


def test_a_volume_takes_names_from_the_table_beside_it(tmp_path):
    values = np.zeros((2, 2, 2), np.int16)
    values[0, 0, 1], values[1, 1, 1], values[1, 0, 0] = 1, 2, -1
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "MyAtlas.nii.gz")
    (tmp_path / "MyAtlas.tsv").write_text("index\tname\n1\tV1\n2\tFFA-1\n")
    atlas = read_atlas(tmp_path / "MyAtlas.nii.gz")
    space = BrainSpace(mask=torch.ones(2, 2, 2).bool(), affine=torch.eye(4)).with_atlas(atlas)
    assert space.roi("MyAtlas.V1").tolist() == [False, True] + [False] * 6
    assert space.roi("*ffa*").nonzero().tolist() == [[7]]
    nameless = read_atlas(tmp_path / "MyAtlas.nii.gz", names={1: "one", 2: "two"}, name="")
    assert nameless.find() == ("one", "two")


def test_a_space_gets_areas_beside_the_regions_it_has(tmp_path):
    write_mgz(tmp_path / "lh.wang15_mplbl.v1_0.mgz", labels(_1=[4], _2=[5], _7=[6]))
    write_mgz(tmp_path / "rh.wang15_mplbl.v1_0.mgz", labels(_1=[4]))
    atlas = read_atlas(tmp_path / "lh.wang15_mplbl.v1_0.mgz")
    space = surface_space(torch.tensor([4, 5, 6, N + 4]), "fsaverage3", {"V1": torch.tensor([True, True, False, True])})
    found = space.with_atlas(atlas, ["V1*", "hv4"])
    assert found.roi_names == ("V1", "Wang2015.V1v", "Wang2015.V1d", "Wang2015.hV4")
    assert found.roi("Wang2015.V1*").tolist() == [True, True, False, True]
    assert found.roi("lh.Wang2015.V1*").tolist() == [True, True, False, False]
    assert found.roi("rh.V1").tolist() == [False, False, False, True]
    assert found.subset("*.hV4").vertices.tolist() == [6]
    assert space.roi_names == ("V1",)  # it is left as it was
    with pytest.raises(ValueError, match="'V9'.*V1v, V1d"):
        space.with_atlas(atlas, "V9")
    with pytest.raises(ValueError, match="Wang2015.V1v"):
        found.with_atlas(atlas, "V1v")
    with pytest.raises(ValueError, match="none of the 1 voxels"):
        space.subset([0]).with_atlas(atlas, "hV4")


def test_tables_of_names_are_read_in_each_published_form(tmp_path):
    path = tmp_path / "a.mgz.ctab"
    path.write_text("0 Unknown 0 0 0\n1  V1v  \t\n\n2 V1d 1 2 3 4\n")
    assert read_names(path) == {1: "V1v", 2: "V1d"}
    path.write_text("7Networks_LH_Vis_1\n1 120 18 131 255\n7Networks_LH_Vis_2\n2 120 18 132 255\n")
    assert read_names(path) == {1: "7Networks_LH_Vis_1", 2: "7Networks_LH_Vis_2"}
    path.write_text("1 V1v\nhello there\n")
    with pytest.raises(ValueError, match="line 2"):
        read_names(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"a\.mgz\.ctab names no label"):
        read_names(path)
    path.write_bytes(b"\x1f\x8b\x08 packed")
    with pytest.raises(ValueError, match=r"cannot read .*a\.mgz\.ctab"):
        read_names(path)


def test_the_published_maps_have_the_known_areas(test_data):
    """Wang 2015, Benson 2014 and Glasser 2016 on fsaverage."""
    wang = read_atlas(test_data / "fsaverage/lh.wang15_mplbl.v1_0.mgz")
    benson = read_atlas(test_data / "fsaverage/lh.benson14_varea.v4_0.mgz")
    glasser = read_atlas(test_data / "fsaverage/rh.glasser16_atlas.v1_0.mgz")
    assert [len(one.areas) for one in (wang, benson, glasser)] == [25, 12, 180]
    space = surface_space(torch.arange(2 * 163_842), "fsaverage")
    space = space.with_atlas(wang).with_atlas(glasser, "V3A").with_atlas(benson, "V1")
    ours, theirs = space.roi("lh.Wang2015.V3A"), space.rois["HCP_MMP1.V3A"]
    assert (int(ours.sum()), int((ours & theirs).sum())) == (701, 577)
    coarse = surface_space(torch.arange(2 * 10_242), "fsaverage5").with_atlas(glasser)
    assert len(coarse.roi_names) == 180
    assert bool((torch.stack(list(coarse.rois.values())).sum(0) <= 1).all())
    v1 = space.rois["Benson2014.V1"]
    assert float((v1 & space.roi("Wang2015.V1*")).sum() / v1.sum()) > 0.5


def test_a_file_and_patterns_in_one_text_also_where_its_folder_has_the_sign(tmp_path):
    folder = tmp_path / "run=1, a"
    folder.mkdir()
    for side in ("lh", "rh"):
        write_mgz(folder / f"{side}.wang15_mplbl.v1_0.mgz", labels(_1=[4], _2=[5]))
    file = folder / "lh.wang15_mplbl.v1_0.mgz"
    for given, areas in ((file, ["*"]), (f"{file}=V1*", ["V1*"]), (f"{file}=V1v, V1d", ["V1v", "V1d"])):
        assert read_areas(given)[1] == areas
    with pytest.raises(ValueError, match="'V9'"):
        read_areas(f"{file}=V1*,V9")
    with pytest.raises(FileNotFoundError, match=r"lh\.other\.mgz"):
        read_areas(folder / "lh.other.mgz")
