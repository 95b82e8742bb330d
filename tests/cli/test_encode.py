from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app as cli


def test_help_of_encode_shows_a_line_that_works(monkeypatch):
    """The example in the help: its options are parsed and reach the function behind the command."""
    from brainnet.run.encoding import encoding as run_encode

    printed = CliRunner().invoke(cli.app, ["encode", "--help"]).output
    shown = " ".join(printed.replace("│", " ").replace("\\", " ").split())
    words = shown.partition("and a control: brainnet encode")[2].partition("Training and")[0].split()
    seen = {}

    def record(cfg, out, **options):
        seen.update(options, out=str(out), folder=cfg.DATASET.DATA_DIR, atlases=cfg.DATASET.ATLASES)
        raise ValueError("as far as this")

    monkeypatch.setattr(run_encode, "encode_subjects", record)
    CliRunner().invoke(cli.app, ["encode", *words])
    assert seen["methods"] == ["ridge", "banded", "window"]
    assert seen["subjects"] == "DATASET.SESSION=201025,210325"
    assert (seen["alphas"], seen["features"], seen["keep_weights"]) == ((), (), False)
    CliRunner().invoke(cli.app, ["encode", "--keep-weights", "--alphas", "1,10", "--features", "a", "--features",
                                 "b.npz", "--atlas", "a.mgz=V1*",
                                 "--device", "cpu", "--precision", "bf16", "--image-size", "64", "96"])  # fmt: skip
    assert (seen["alphas"], seen["keep_weights"]) == ((1.0, 10.0), True)
    assert list(map(str, seen["features"])) == ["a", "b.npz"]
    assert seen["atlases"] == ["a.mgz=V1*"]
    assert (seen["device"], seen["precision"], seen["image_size"]) == ("cpu", "bf16", (64, 96))
    CliRunner().invoke(cli.app, ["encode", *words])
    assert (seen["controls"], seen["out"], seen["folder"]) == (["shuffled"], "encoding", "v4")
