import shutil

from PIL import Image

from brainnet._files import write_json
from brainnet.run.page.scenes import scenes_of


def test_a_region_has_what_was_drawn_of_its_channels(mapped, tmp_path):
    run = shutil.copytree(mapped[0], tmp_path / "run")
    assert not scenes_of(run)[0].pictures
    for place, source, color in (("channels_a", run, 10), ("channels_b", tmp_path / "other", 20), ("channels_c", 0, 0)):
        (tmp_path / place).mkdir()
        for name in ("early", "unknown"):
            Image.new("RGB", (8, 4), (color, 0, 0)).save(tmp_path / place / f"channels_{name}.png")
        write_json(tmp_path / place / "run.json", {"kind": "channels", "source": {"run": str(source)}})
    (tmp_path / "channels_c" / "run.json").write_text("{")
    (scene,) = scenes_of(run)
    assert list(scene.pictures) == ["early"]
    assert scene.pictures["early"][0, 0].tolist() == [10, 0, 0]
