from __future__ import annotations

import pytest
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli import app as cli
from tests.tables import unlisted_columns


@pytest.fixture
def classes(tmp_path):
    """Two classes of pictures, one of which is damaged."""
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (len(name), 0, 0)).save(tmp_path / "set" / name)
    (tmp_path / "set/dog/1.png").write_bytes(b"damaged")
    (tmp_path / "order.txt").write_text("dog\ncat\n")
    return tmp_path / "set"


def test_the_choices_of_pictures_reach_the_extraction(classes, tmp_path):
    out = tmp_path / "out"
    words = f"extract {classes} -b expansion:small -l 1 --pool mean --quiet --out".split()
    chosen = ["--skip-bad", "--classes", str(tmp_path / "order.txt"), "--rows", "0:3"]
    result = CliRunner().invoke(cli.app, [*words, str(out), *chosen])
    assert result.exit_code == 0, result.output
    assert (out / "images.txt").read_text().split() == ["dog/2", "cat/1"]
    assert (out / "classes.txt").read_text().split() == ["dog", "cat"]
    assert result.output.split()[-2:] == [str(out / "targets.csv"), str(out / "classes.txt")]
    assert not unlisted_columns(tmp_path)
    for extra, message in [(["--layout", "class"], "Did you mean 'classes'"), (["--fps", "2"], "fps is for a video"),
                           (["--rows", "9"], "no row 9"), ([], "dog/1.png")]:  # fmt: skip
        result = CliRunner().invoke(cli.app, [*words, str(tmp_path / "other"), *extra])
        assert message in str(result.exception), extra
        assert not extra or not (tmp_path / "other").exists()
