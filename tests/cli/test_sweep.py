from __future__ import annotations

import sys

import pytest
import yaml
from typer.testing import CliRunner

from brainnet.cli import app as cli
from tests.run.sweep.toys import asked, network


def ran(*words):
    result = CliRunner().invoke(cli.app, ["sweep", *map(str, words)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of one network that works and one that cannot be built, and what the line said."""
    folder = tmp_path_factory.mktemp("swept")
    given = asked(subjects=1, methods=["rsa"], controls=[], backbones=[network(0), network(1, broken=True)])
    (folder / "sweep.yaml").write_text(yaml.safe_dump(given))
    code, said = ran("run", folder / "sweep.yaml", "--out", folder / "out", "--quiet")
    return folder, said, code


def test_run_says_what_is_done_and_what_failed(swept):
    assert "2 cells: 1 done, 1 failed" in swept[1]
    assert "cannot be read" in swept[1]


def test_run_ends_with_an_error_where_a_cell_failed_and_a_line_that_says_what_to_do(swept):
    folder, said, code = swept
    assert code == 1
    assert said.endswith(f"error: 1 cell failed: brainnet sweep status {folder / 'out'} --failed says why.")


def test_run_ends_well_where_none_failed(tmp_path):
    given = asked(subjects=1, methods=["rsa"], controls=[], networks=1)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(given))
    assert ran("run", tmp_path / "sweep.yaml", "--out", tmp_path / "out", "--quiet")[0] == 0


def test_status_lists_what_failed(swept):
    code, said = ran("status", swept[0] / "out", "--failed")
    assert code == 0
    assert "net01" in said


def test_script_writes_a_job_of_the_sweep(swept):
    folder = swept[0]
    code, _ = ran("script", folder / "sweep.yaml", "--file", folder / "job.sh", "--option", "time=1:00:00")
    assert code == 0
    assert "#SBATCH --time=1:00:00" in (folder / "job.sh").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "/nowhere"], "plan.json"),
        (["run", "/nowhere.yaml"], "nowhere.yaml"),
        (["script", "/nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_line(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["brainnet", "sweep", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
