"""The tree of a network's modules, for eyes and for programs."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from brainnet.cli import app as cli

LINE = ["layers", "timm:test_vit", "--image-size", "64", "64"]


def test_the_tree_shows_tokens_and_defaults():
    result = CliRunner().invoke(cli.app, [*LINE, "--like", "blocks.1.mlp"])
    assert result.exit_code == 0
    assert "blocks.1.mlp" in result.output
    assert "64 x 4 x 4" in result.output
    assert "by default: 0, 1, 2, 3, 4, 5" in result.output
    shallow = CliRunner().invoke(cli.app, [*LINE, "--depth", "1"]).output
    assert "patch_embed" in shallow
    assert "qkv" not in shallow


def test_json_is_a_list_of_modules():
    found = json.loads(CliRunner().invoke(cli.app, [*LINE, "--json"]).output)
    rows = {row["name"]: row for row in found["modules"]}
    assert found["default"] == ["0", "1", "2", "3", "4", "5"]
    assert rows["norm"]["tokens"] == [64, 4, 4]
    assert rows["norm"]["kind"] == "LayerNorm"
    assert rows["blocks.0.attn.attn_drop"]["why"] == "never ran"
