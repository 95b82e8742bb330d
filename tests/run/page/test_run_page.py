"""Pages of run folders, one and two."""

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.plot import PageMap, PageRun
from brainnet.run.page import run_page as page
from brainnet.space import BrainSpace, surface_space
from tests.run.page.test_scenes import searched


def test_a_page_is_written_and_the_same_twice(mapped, tmp_path):
    out = mapped[0]
    first = page.write_page([out], tmp_path / "new" / "a.html")
    second = page.write_page([out], tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert "Noise ceiling" in first.read_text(encoding="utf-8")


def test_images_are_predicted_and_the_best_of_each_voxel_kept(mapped, tmp_path, rng):
    out, _, _, _, model = mapped
    for k in range(6):
        pixels = (torch.rand(32, 32, 3, generator=rng) * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / f"image{k}.png")
    seen = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr("brainnet.plot.page", lambda *scenes, **_: seen.extend(scenes) or "")
    monkey.setattr("brainnet.run.fitting.prediction.load_model", lambda run: model)
    with monkey.context():
        page.write_page([out], tmp_path / "a.html", images=tmp_path, progress=False)
    monkey.undo()
    assert [one.title for one in seen] == ["mapped", "planted truth"]
    assert len(seen[0].images) == 6
    assert seen[0].best.shape == (7, 4)
    activity = seen[0].maps["Predicted activity"]
    assert (activity.kind, activity.values.shape) == ("images", (7, 6))
    with Image.open(tmp_path / "image2.png") as photo, torch.no_grad():
        expected = model(model.preprocessing(photo)[None])[0][0]
    usable = model.usable.numpy()
    np.testing.assert_allclose(activity.values[usable, 2], expected[usable], atol=1e-5)
    assert np.isnan(activity.values[~usable]).all()
    known = seen[0].best[seen[0].best[:, 0] >= 0]
    assert len(known)
    assert all(len(set(row.tolist())) == 4 for row in known)


def test_a_second_run_shows_its_differences(tmp_path, monkeypatch):
    place = surface_space(torch.arange(3))
    labels = {"kind": "categorical", "labels": ["a", "b"]}
    one = PageRun({"Score": PageMap([0.1, 0.2, np.nan]), "Layer": PageMap(np.array([0, 1, -1]), **labels)}, place, "A")
    two = PageRun({"Score": PageMap([0.3, 0.2, 0.5]), "Layer": PageMap(np.array([1, 1, 1]), **labels)}, place, "B")
    elsewhere = PageRun(two.maps, surface_space(torch.arange(1, 4)), "C")
    volume = PageRun(two.maps, BrainSpace(mask=torch.ones(3, 1, 1).bool(), affine=torch.eye(4)), "D")
    seen = []
    monkeypatch.setattr("brainnet.plot.page", lambda *scenes, **_: seen.append(scenes) or "")
    runs = {"a": one, "b": two, "c": elsewhere, "d": volume}
    monkeypatch.setattr(page, "scenes_of", lambda run: [runs[run]])
    for second in "bcd":
        page.write_page(["a", second], tmp_path / "p.html")
    change = seen[0][1].maps
    np.testing.assert_allclose(change["Score: difference"].values, [0.2, 0, np.nan])
    assert change["Score: difference"].vmax == pytest.approx(0.2)
    np.testing.assert_array_equal(change["Layer: same or not"].values, [1, 0, -1])
    assert "B minus A" in change["Score: difference"].meaning
    assert all(set(pair[1].maps) == {"Score", "Layer"} for pair in seen[1:])


def test_runs_of_two_kinds_stand_side_by_side(mapped, tmp_path):
    (tmp_path / "light").mkdir()
    searched(tmp_path / "light")
    text = page.write_page([mapped[0], tmp_path / "light"], tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Best model" in text
    assert "Channels" in text


def test_an_atlas_gives_the_areas_that_its_patterns_name(tmp_path, monkeypatch):
    values = np.zeros(10_242, np.float32)
    values[:10], values[10:20] = 1, 2
    for side in ("lh", "rh"):
        nibabel.save(nibabel.MGHImage(values[:, None, None], np.eye(4)), tmp_path / f"{side}.wang15_mplbl.mgz")
    space = surface_space(torch.arange(30), "fsaverage5")
    monkeypatch.setattr(page, "scenes_of", lambda run: [PageRun({"Score": PageMap(np.zeros(30))}, space, "A")])
    monkeypatch.setattr(page, "planted_scene", lambda scene: None)
    seen = []
    monkeypatch.setattr("brainnet.plot.page", lambda *scenes, **_: seen.append(scenes[0].space.roi_names) or "")
    for given in (tmp_path / "lh.wang15_mplbl.mgz", f"{tmp_path}/lh.wang15_mplbl.mgz=V1d*"):
        page.write_page(["a"], tmp_path / "p.html", atlases=[given])
    assert seen == [("Wang2015.V1v", "Wang2015.V1d"), ("Wang2015.V1d",)]
    with pytest.raises(ValueError, match="'V9'"):
        page.write_page(["a"], tmp_path / "p.html", atlases=[f"{tmp_path}/lh.wang15_mplbl.mgz=V9"])
