from __future__ import annotations

import pytest
import yaml

from brainnet.run.sweep.definition import read_definition
from tests.run.sweep.toys import asked


def test_a_file_and_a_mapping_say_the_same(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(asked()))
    assert read_definition(path).plain() == read_definition(asked()).plain()


def test_what_is_kept_is_read_again():
    methods = [{"method": "ridge", "name": "mean", "pool": "mean"}, {"method": "fit", "settings": {"SEED": 3}}]
    definition = read_definition(asked(methods=methods, keep_tokens="2 GB", image_size=[32, 32], keep_voxels=False))
    again = read_definition(definition.plain())
    assert again == definition
    assert again.keep_tokens == 2e9
    assert again.methods[0].options == {"pool": "mean"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contrls": ["shuffled"]}, "Did you mean 'controls'"),
        ({"methods": ["rigde"]}, "Did you mean 'ridge'"),
        ({"methods": [{"method": "rsa", "metrc": "cosine"}]}, "Did you mean 'metric'"),
        ({"methods": [{"method": "rsa", "comparison": "sperman"}]}, "spearman"),
        ({"methods": [{"method": "ridge", "metric": "cosine"}]}, "Known: method"),
        ({"methods": ["ridge", "ridge"]}, "two methods"),
        ({"methods": [{"method": "ridge", "subjects": ["s9"]}]}, "s9"),
        ({"methods": []}, "no methods"),
        ({"controls": ["shufled"]}, "Did you mean 'shuffled'"),
        ({"controls": "shuffled"}, "a list"),
        ({"subjects": ["one"]}, "mapping"),
        ({"subjects": {"one": {"DATASET.SESSIN": "1"}}}, "DATASET.SESSION"),
        ({"settings": {"MODEL.GRIDD": [4, 4]}}, "MODEL.GRID"),
        ({"backbones": [{"tsk": "classification"}]}, "Did you mean 'task'"),
        ({"backbones": [3]}, "pattern"),
        ({"resamples": 3}, "resamples"),
        ({"keep_tokens": "many"}, "keep_tokens"),
        ({"keep_voxels": "yes"}, "true or false"),
    ],
)
def test_a_wrong_word_is_named_before_anything_runs(change, said):
    with pytest.raises(ValueError, match=said) as error:
        read_definition(asked(**change))
    assert "\n" not in str(error.value)


def test_what_is_no_yaml_names_the_file(tmp_path):
    (tmp_path / "sweep.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"sweep\.yaml"):
        read_definition(tmp_path / "sweep.yaml")
    with pytest.raises(FileNotFoundError, match="absent"):
        read_definition(tmp_path / "absent.yaml")


def test_a_simulated_subject_is_planted_in_one_network_whatever_is_fitted():
    definition = read_definition(
        asked(subjects={"one": {"DATASET.NAME": "simulated", "BACKBONE.NAME": "expansion:small"}})
    )
    assert definition.config_of("one").DATASET.OPTIONS["backbone"] == "expansion:small"
