"""A person's own surfaces, planted from fsaverage, so that every vertex has a known place: maps, regions, figures."""

import nibabel
import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.plot.scene import Scene
from brainnet.space import (
    BrainSpace,
    MapSet,
    drawn_on,
    label_regions,
    load_mesh,
    own_mesh,
    read_atlas,
    read_maps,
    save_maps,
    surface_space,
    to_fsaverage5,
)
from brainnet.space.own_surfaces import vertex_counts
from tests.space.test_brain_maps import write_gifti, write_mgz

MESHES = {"lh": ("fsaverage4", "left", 2562), "rh": ("fsaverage3", "right", 642)}  # hemispheres of unlike numbers
OFFSET = 2562


def write_person(folder, gifti=False):
    """White, pial and inflated surfaces, spheres and sulcal depth."""
    (folder / "surf").mkdir(parents=True)
    for side, (mesh, hemisphere, n) in MESHES.items():
        faces = load_mesh(mesh, "sphere", hemisphere).faces
        for kind, own in {"white": "white", "pial": "pial", "inflated": "inflated", "sphere": "sphere",
                          "sphere.reg": "sphere"}.items():  # fmt: skip
            points = load_mesh(mesh, own, hemisphere).points
            if gifti:
                arrays = [nibabel.gifti.GiftiDataArray(points, "NIFTI_INTENT_POINTSET"),
                          nibabel.gifti.GiftiDataArray(faces.astype(np.int32), "NIFTI_INTENT_TRIANGLE")]  # fmt: skip
                name = f"sub-01_hemi-{side[0].upper()}_{kind}.surf.gii"
                nibabel.save(nibabel.GiftiImage(darrays=arrays), folder / name)
            else:
                nibabel.freesurfer.write_geometry(folder / "surf" / f"{side}.{kind}", points, faces)
        nibabel.freesurfer.write_morph_data(folder / "surf" / f"{side}.sulc", np.linspace(-1, 1, n))
    return own_mesh(folder)


@pytest.fixture
def mesh(tmp_path):
    return write_person(tmp_path / "sub 01")


@pytest.mark.parametrize("gifti", [False, True])
def test_surfaces_of_either_format_have_their_vertices(tmp_path, gifti):
    mesh = write_person(tmp_path / "sub", gifti)
    assert vertex_counts(mesh) == (2562, 642)
    np.testing.assert_allclose(load_mesh(mesh, "white", "left").points, load_mesh("fsaverage4", "white", "left").points)
    right = load_mesh(mesh, "pial", "right")
    np.testing.assert_allclose(right.points[:642], load_mesh("fsaverage3", "pial", "right").points, atol=1e-4)
    assert right.faces.max() == 641
    assert load_mesh(mesh, "pial").faces.max() == OFFSET + 641


def test_a_map_is_brought_to_fsaverage_by_the_registered_sphere(mesh):
    space = surface_space(torch.tensor([5, 2000, OFFSET + 600]), mesh)
    coarse = to_fsaverage5(space)
    assert coarse.space.vertices.tolist() == [5, 2000, 10_242 + 600]  # the first vertices of fsaverage5
    name, column = drawn_on(surface_space(torch.tensor([5, OFFSET + 600]), mesh))
    assert (name, len(column)) == ("fsaverage6", 2 * 40_962)
    assert (column[5], column[40_962 + 600], column[6]) == (0, 1, -1)
    assert space.hemisphere.tolist() == [0, 0, 1]


@pytest.mark.parametrize("kind", ["gifti", "cifti", "csv"])
def test_maps_are_kept_and_come_back(mesh, tmp_path, kind):
    space = surface_space(torch.tensor([5, 2000, OFFSET + 600]), mesh)
    labels = {"areas": torch.tensor([0, -1, 1])} if kind == "gifti" else {}
    maps = MapSet(space, {"score": torch.tensor([1.0, 2.0, 3.0]), **labels}, {"areas": ["V1", "V2"]} if labels else {})
    paths = save_maps(maps, tmp_path / "map", [kind])
    if kind == "gifti":
        assert {p.name: len(nibabel.load(p).darrays[0].data) for p in paths if "func" in p.name} == {
            "map.L.func.gii": 2562, "map.R.func.gii": 642}  # fmt: skip
        [label] = [p for p in paths if p.name.endswith("R.label.gii")]
        assert read_maps(label).values["areas"].tolist() == [0, -1, 1]
    found = read_maps(paths[0])
    assert found.space.mesh == mesh
    assert found.space.vertices.tolist() == [5, 2000, OFFSET + 600]
    assert found.values["score"].tolist() == [1.0, 2.0, 3.0]


def test_atlases_and_labels_of_the_surface_become_regions(mesh, tmp_path):
    space = surface_space(torch.tensor([5, 6, OFFSET + 600]), mesh)
    for side, (_, _, n) in MESHES.items():
        values = np.zeros(n)
        values[5 if side == "lh" else 600] = 1
        write_mgz(tmp_path / f"{side}.wang15_mplbl.v1_0.mgz", values)
        write_gifti(tmp_path / f"x.{side[0].upper()}.label.gii", values, names={1: "V1"})
        text = "#!ascii label\n1\n5 0.0 0.0 0.0 1.0\n" if side == "lh" else "#!ascii label\n1\n600 0.0 0.0 0.0 1.0\n"
        (tmp_path / f"{side}.V1_exvivo.label").write_text(text)
    for path, name in (("lh.wang15_mplbl.v1_0.mgz", "Wang2015.V1v"), ("x.L.label.gii", "x.V1")):
        assert space.with_atlas(read_atlas(tmp_path / path, name=name.split(".")[0])).rois[name].tolist() == [
            True,
            False,
            True,
        ]
    labels = [tmp_path / f"{side}.V1_exvivo.label" for side in MESHES]
    assert space.with_rois(label_regions(space, labels)).rois["V1_exvivo"].tolist() == [True, False, True]
    (tmp_path / "rh.V1_exvivo.label").write_text("#!ascii label\n1\n642 0.0 0.0 0.0 1.0\n")
    with pytest.raises(ValueError, match=r"rh\.V1_exvivo\.label has vertex 642.*642"):
        label_regions(space, labels)


def test_figures_and_pages_are_drawn(mesh):
    space = surface_space(torch.cat([torch.arange(2562), OFFSET + torch.arange(642)]), mesh)
    values = space.coords[:, 2]
    assert len(plot.flatmap(values, space).axes) == 2
    assert plot.cortex(values, space, Scene("inflated")).axes
    assert "inflated" in plot.page(plot.PageRun({"Height": plot.PageMap(values.numpy())}, space, "native"))


def test_what_is_missing_is_named(mesh, tmp_path):
    folder = tmp_path / "sub 01/surf"
    with pytest.raises(FileNotFoundError, match=r"left hemisphere in .*empty.*lh\.white"):
        own_mesh(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="surface flat of the left"):
        load_mesh(mesh, "flat", "left")
    (folder / "lh.pial").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot read .*lh\.pial"):
        load_mesh(mesh, "pial", "left")
    (folder / "lh.inflated").write_bytes((folder / "rh.inflated").read_bytes())
    with pytest.raises(ValueError, match=r"lh\.inflated has 642 vertices; expected 2562"):
        load_mesh(mesh, "inflated", "left")
    with pytest.raises(ValueError, match="Unknown mesh"):
        BrainSpace(vertices=torch.arange(2), mesh="fsnative")
