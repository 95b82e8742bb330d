"""`brainnet backbones`: the families, the networks of one, and the searches; at any width."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from brainnet.backbone.networks import COLUMNS, Network, networks_of
from brainnet.cli import app as cli
from brainnet.cli import backbones as module
from brainnet.cli.backbones import backbones, short_count


def run(*words: str) -> str:
    result = CliRunner().invoke(cli.app, ["backbones", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def wide(monkeypatch, capsys):
    """Runs the command on a terminal of so many columns; gives the lines of its table."""

    def at(columns: int, **options) -> list[str]:
        monkeypatch.setattr(module, "out_console", Console(width=columns, force_terminal=False))
        backbones(None, **options)
        return capsys.readouterr().out.splitlines()

    return at


def test_families_are_listed_without_any_word():
    listed = run()
    assert all(name in listed for name in ("expansion", "torchvision", "timm", "clip", "original"))
    assert "`" not in listed  # the markup of docstrings is none of the terminal's


def test_networks_of_a_family_are_listed_by_part_of_their_names():
    assert run("cornet").split() == [network.name for network in networks_of("cornet")]
    assert run("torchvision", "--like", "SQUEEZE").split() == [
        "torchvision:squeezenet1_0=IMAGENET1K_V1",
        "torchvision:squeezenet1_1=IMAGENET1K_V1",
    ]
    assert set(run("timm", "--like", "*.mae").split()) >= {"timm:vit_base_patch16_224.mae", "timm:hiera_base_224.mae"}
    with pytest.raises(ValueError, match="none of 2 networks has family 'expansion', like 'huge'"):
        backbones("expansion", "huge")
    with pytest.raises(ValueError, match="'tim'.*'timm'"):
        backbones("tim")


def test_a_search_prints_a_table_of_all_families():
    printed = run("--trained-on", "ecoset", "--trained-on", "places365", "--architecture", "resnet")
    assert [line.split()[0] for line in printed.splitlines()] == [
        "name", "ecoset:resnet50", "places365:resnet18", "places365:resnet50",
    ]  # fmt: skip
    assert "11.4M" in printed
    assert run("--like", "simclr").split()[-1] == "mit"


def test_json_and_csv_hold_everything():
    words = ("cornet", "--method", "supervised", "--max-params", "10M")
    records = json.loads(run(*words, "--json"))
    assert [record["name"] for record in records] == ["cornet:z", "cornet:r", "cornet:rt"]
    assert list(records[0]) == list(COLUMNS)
    assert records[0]["top1"] is None
    rows = list(csv.DictReader(io.StringIO(run(*words, "--csv"))))
    assert [row["name"] for row in rows] == [record["name"] for record in records]
    assert int(rows[0]["parameters"]) == records[0]["parameters"]


def test_where_there_is_none_the_reason_is_told():
    with pytest.raises(ValueError, match="VISSL"):
        backbones(None, method=["clusterfit"])
    result = CliRunner().invoke(cli.app, ["backbones", "--method", "clusterfit", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "VISSL" in result.stderr


@pytest.mark.parametrize("columns", [60, 80, 100, 140, 200])
def test_names_stay_whole_and_no_line_is_wider_than_the_terminal(wide, columns):
    lines = wide(columns, method=["mae"], architecture=["transformer"])
    names = {line.split()[0] for line in lines[1:]}
    assert "timm:vit_base_patch16_224.mae" in names
    assert all(":" in name for name in names)  # one line a network
    assert max(map(len, lines)) <= columns
    assert ("license" in lines[0]) == (columns >= 140)


@given(st.integers(0, 10**12))
def test_counts_are_short(number):
    text = short_count(number)
    size = {"k": 1e3, "M": 1e6, "B": 1e9}.get(text[-1], 1)
    assert float(text.rstrip("kMB")) * size == pytest.approx(number, rel=0.006)
    assert len(text) <= 8


def test_what_a_network_needs_is_told(monkeypatch, capsys):
    monkeypatch.setattr(module, "err_console", Console(width=200, force_terminal=False))
    module._print_notes([Network("a:b", "a", needs="a ladder"), Network("a:c", "a")], [])
    assert "1 of them need a ladder" in capsys.readouterr().out
