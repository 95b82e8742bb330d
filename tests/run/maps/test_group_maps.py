from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from brainnet._files import read_json
from brainnet.plot import page
from brainnet.run.maps.group_maps import draw_group
from brainnet.run.page.scenes import scenes_of
from tests.run.page.test_scenes import searched


def test_the_maps_of_all_subjects_are_handed_on_voxel_by_voxel(mapped, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("brainnet.plot.group_maps", lambda *args, **more: seen.append((args, more)) or Figure())
    draw_group([mapped[0], mapped[0], mapped[0]], tmp_path / "out", names=["r", "scale"], above=0.1)
    table = pd.read_csv(mapped[0] / "scores.csv")
    (values, space, scene), more = seen[0]
    np.testing.assert_allclose(values, np.stack([table["r"]] * 3))
    assert space.n_voxels == len(table)
    assert scene == "flat"
    assert more["above"] == 0.1
    np.testing.assert_allclose(seen[1][0][0][2], mapped[4].get_selectors().scale[:, 0], atol=1e-6)
    card = read_json(tmp_path / "out" / "run.json")
    assert card["settings"]["subjects"] == ["mapped"] * 3
    assert card["source"]["runs"] == [str(mapped[0])] * 3


def test_the_command_draws_mean_share_and_t(mapped, invoke, tmp_path):
    said = invoke("plot", mapped[0], mapped[0], "--over-subjects", "--map", "ceiling_share", "--above", 0.5, "--out",
                  tmp_path / "out", "--format", "png")  # fmt: skip
    assert "group_ceiling_share.png" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["group_ceiling_share.png", "run.json"]


def test_what_is_no_group_is_refused(mapped, tmp_path):
    searched(tmp_path / "light")
    for runs, names, says in (
        ([mapped[0]], ["r"], "two subjects"),
        ([mapped[0]] * 2, ["rr"], "Score"),
        ([mapped[0]] * 2, ["Layer"], "numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            draw_group(runs, tmp_path / "out", names=names)
    scenes = scenes_of(tmp_path / "light")
    number = next(name for name, one in scenes[0].maps.items() if one.kind == "scalar")
    assert page(*scenes)
    with pytest.raises(ValueError, match=r"other voxels|" + number):
        draw_group([tmp_path / "light", mapped[0]], tmp_path / "out", names=[number])
    assert not (tmp_path / "out").exists()
