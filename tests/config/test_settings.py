from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from brainnet.config import (
    OPEN_SECTIONS,
    checked_config,
    config_files,
    config_help,
    config_keys,
    get_cfg_defaults,
    load_config,
    parse_config,
)
from brainnet.plmodel.build import OF_SOME_DATASETS, OF_SOME_READOUTS

ROOT = Path(__file__).resolve().parents[2]


def test_defaults_are_those_of_the_original():
    cfg = get_cfg_defaults()
    assert (cfg.MODEL.BOTTLENECK_DIM, cfg.OPTIMIZER.LR, cfg.REGULARIZATION.LAMBDA) == (128, 1e-3, 0.1)
    assert (cfg.REGULARIZATION.DECAY_TOTAL_STEPS, cfg.DATASET.BATCH_SIZE) == (2000, 8)
    assert cfg.OPTIMIZER.WEIGHT_DECAY == 1e-2
    assert (cfg.MODEL.WINDOW, cfg.MODEL.HEAD, cfg.TOKENS.STANDARDIZE) == ("point", "mean", False)


def test_a_changed_copy_leaves_the_defaults_alone():
    cfg = get_cfg_defaults()
    cfg.MODEL.LAYERS.append("1")
    cfg.OPTIMIZER.LR = 1.0
    assert get_cfg_defaults().MODEL.LAYERS == []
    assert get_cfg_defaults().OPTIMIZER.LR == 1e-3


def test_precedence_is_defaults_then_file_then_overrides(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("OPTIMIZER: {LR: 0.5, WEIGHT_DECAY: 1}\n")
    cfg = load_config(file, ["OPTIMIZER.LR", "0.25"])
    assert (cfg.OPTIMIZER.LR, cfg.OPTIMIZER.WEIGHT_DECAY, cfg.MODEL.BOTTLENECK_DIM) == (0.25, 1.0, 128)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["OPTIMIZR.LR", "1"], "Did you mean OPTIMIZER.LR"),
        (["LR", "1"], "Did you mean OPTIMIZER.LR"),
        (["OPTIMIZER.LR", "fast"], "must be a number"),
        (["MODEL.HEAD", "max"], "one of 'mean', 'sum'"),
        (["TOKENS.STANDARDIZE", "1"], "true or false"),
        (["SEED", "1.5"], "whole number"),
        (["SEED"], "KEY VALUE"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(overrides, message):
    with pytest.raises(ValueError, match=message):
        load_config(None, overrides)


def test_a_section_is_not_a_value(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("OPTIMIZER: 3\n")
    with pytest.raises(ValueError, match="unknown key OPTIMIZER"):
        load_config(file)


def test_a_missing_file_names_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"demo\.yaml"):
        load_config("dmo")


@pytest.mark.parametrize("name", sorted(config_files()))
def test_shipped_files_hold_differences_only(name):
    keys = config_keys()
    given = config_keys(yaml.safe_load(config_files()[name].read_text()))
    assert given
    load_config(name)
    same = [k for k, v in given.items() if v == keys.get(k) and k != "DATASET.NAME"]
    assert not same, f"{name} repeats the defaults of {same}"


def test_every_setting_says_what_it_means():
    meaning = config_help()
    assert [key for key in meaning if key not in OPEN_SECTIONS] == list(config_keys())
    assert meaning["DATASET.BATCH_SIZE"] == "number of images per step of the optimizer"


def test_every_key_is_read_somewhere():
    """As an attribute of a config in code: a key in a comment or in a message does not count."""
    read = set()
    for file in (file for room in ("plmodel", "run", "cli") for file in (ROOT / "brainnet" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            words = []
            while isinstance(node, ast.Attribute):
                words, node = [node.attr, *words], node.value
            read |= {".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    read |= {f"DATASET.{key}" for key in OF_SOME_DATASETS} | {f"MODEL.{key}" for key in OF_SOME_READOUTS}
    unread = {*config_keys(), *OPEN_SECTIONS} - read
    assert not unread


def test_strings_keep_leading_zeros():
    assert load_config(None, ["DATASET.SESSION", "0042"]).DATASET.SESSION == "0042"


def test_keys_survive_a_round_trip_through_yaml(tmp_path):
    cfg = load_config("demo", ["MODEL.LAYERS", "['1','2']"])
    file = tmp_path / "config.yaml"
    file.write_text(cfg.dump())
    assert config_keys(load_config(file)) == config_keys(cfg)


def test_options_may_be_given_all_at_once():
    one = load_config(None, ["DATASET.OPTIONS", "{subject: 2, space: func1mm}", "BACKBONE.OPTIONS", "{}"])
    other = load_config(None, ["DATASET.OPTIONS.subject", "2", "DATASET.OPTIONS.space", "func1mm"])
    assert one == other
    with pytest.raises(ValueError, match=r"DATASET\.OPTIONS .*'two'"):
        load_config(None, ["DATASET.OPTIONS", "two"])
    with pytest.raises(ValueError, match=r"DATASET\.OPTIONS"):
        load_config(None, ["DATASET.OPTIONS", "{subject: "])


def test_an_option_may_be_a_group_of_its_own(tmp_path):
    """In one word, key by key, in a file, and read again from what a run keeps."""
    words = ["DATASET.OPTIONS", "{glm: {model: lsa, confounds: []}, task: look}", "DATASET.OPTIONS.glm.hrf", "spm"]
    expected = {"glm": {"model": "lsa", "confounds": [], "hrf": "spm"}, "task": "look"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"DATASET": {"OPTIONS": expected}}))
    cfg = load_config(None, words)
    for again in (cfg, parse_config(cfg.dump()), checked_config(cfg), load_config(tmp_path / "mine.yaml")):
        assert dict(again.DATASET.OPTIONS) == expected
    one = load_config(None, ["DATASET.OPTIONS.glm.model", "lss"])
    assert dict(one.DATASET.OPTIONS) == {"glm": {"model": "lss"}}
