from __future__ import annotations

import sys

import pytest

from brainnet.cli import app as cli


@pytest.mark.parametrize(
    ("words", "named"),
    [(["rsa", "v1.npz", "--time", "--squared"], "--squared"),
     (["rsa", "v1.npz", "--fit", "ols", "--partition"], "--partition"), (["rsa", "v1.npz", "--fusion"], "--fusion"),
     (["searchlight", "a.nii.gz", "--contrast", "a", "b"], "--contrast"),
     (["searchlight", "a", "b", "--group", "--radius", "3"], "--radius")],
)  # fmt: skip
def test_an_option_that_an_analysis_does_not_read_is_refused(words, named, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["brainnet", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err
