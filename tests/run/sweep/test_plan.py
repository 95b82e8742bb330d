from __future__ import annotations

import pytest

from brainnet.backbone import find_backbones
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import Plan, make_plan
from tests.run.sweep.toys import asked, network


def plan_of(**change) -> Plan:
    return make_plan(read_definition(asked(**change)))


def test_every_combination_is_a_cell_once():
    plan = plan_of(networks=3, subjects=2, controls=["shuffled", "random"])
    assert len(plan.cells) == 3 * 2 * 2 * 3
    assert len({cell.path for cell in plan.cells}) == len(plan.cells)


def test_cells_of_a_network_and_of_its_tokens_lie_beside_each_other():
    plan = plan_of(networks=2, controls=["shuffled", "random"])
    order = [(cell.network.label, cell.tokens_of) for cell in plan.cells]
    runs = [one for k, one in enumerate(order) if k == 0 or order[k - 1] != one]
    assert runs == [("net00", ""), ("net00", "random"), ("net01", ""), ("net01", "random")]


def test_a_pattern_gives_the_names_of_the_catalogue():
    plan = plan_of(backbones=["cornet:*"], exclude=["cornet:rt"])
    assert [one.name for one in plan.networks] == ["cornet:z", "cornet:r", "cornet:s"]


def test_a_pattern_with_weights_gives_each_of_them_these():
    names = [one.name for one in plan_of(backbones=["torchvision:alex*=random"]).networks]
    assert names == ["torchvision:alexnet=random"]


def test_brackets_in_a_pattern_stand_for_one_of_their_characters():
    names = [one.name for one in plan_of(backbones=["torchvision:squeezenet1_[01]=random"]).networks]
    assert names == ["torchvision:squeezenet1_0=random", "torchvision:squeezenet1_1=random"]


def test_the_file_of_a_network_may_have_brackets_in_its_name(tmp_path):
    path = tmp_path / "mine[1].py"
    path.write_text("def build():\n    pass\n")
    assert [one.name for one in plan_of(backbones=[f"{path}:build"]).networks] == [f"{path}:build"]


def test_words_of_the_catalogue_give_what_a_search_gives():
    words = {"method": "SimCLR"}
    expected = find_backbones(**words)["name"].tolist()
    assert [one.name for one in plan_of(backbones=[words]).networks] == expected
    assert len(plan_of(backbones=[{**words, "at_most": 1}]).networks) == 1


def test_a_network_with_random_weights_has_no_random_twin():
    plan = plan_of(backbones=["expansion:small", "torchvision:alexnet=random", network(0)], controls=["random"])
    assert {cell.network.label for cell in plan.cells if cell.control == "random"} == {"net00"}


def test_a_method_may_be_for_some_networks_and_subjects():
    fits = {"method": "fit", "backbones": ["net0[01]"], "subjects": ["s1"], "controls": []}
    cells = [cell for cell in plan_of(networks=3, methods=["ridge", fits]).cells if cell.method.method == "fit"]
    assert [(cell.network.label, cell.subject, cell.control) for cell in cells] == [("net00", "s1", ""),
                                                                                    ("net01", "s1", "")]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbones": ["cornett:*"]}, "cornet"),
        ({"backbones": ["tim:resnet50"]}, "timm"),
        ({"backbones": ["cornet:[xy]"]}, "cornet"),
        ({"backbones": ["torchvision:alexnett=random"]}, "torchvision:alexnet"),
        ({"backbones": [{"name": "cornet:y", "options": {}}]}, "z, r, rt, s"),
        ({"exclude": ["nett00"]}, "net00"),
        ({"backbones": [network(0), network(0)]}, "two networks"),
        ({"backbones": [network(0)], "exclude": ["net*"]}, "without networks"),
        ({"methods": [{"method": "ridge", "backbones": ["net77"]}]}, "net77"),
    ],
)
def test_a_name_of_nothing_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        plan_of(**change)


def test_a_kept_plan_is_the_same_plan(tmp_path):
    fits = {"method": "fit", "settings": {"MODEL.GRID": [2, 2]}, "controls": []}
    plan = plan_of(image_size=[32, 32], methods=["ridge", fits])
    plan.save(tmp_path)
    again = Plan.read(tmp_path)
    assert [cell.path for cell in plan.cells] == [cell.path for cell in again.cells]
    assert [plan.identity(cell) for cell in plan.cells] == [again.identity(cell) for cell in again.cells]


def test_the_identity_follows_what_a_cell_depends_on_and_nothing_else():
    def identities(**change):
        plan = plan_of(**change)
        return {(cell.network.label, cell.subject, cell.method.name, cell.control): plan.identity(cell)
                for cell in plan.cells}  # fmt: skip

    before, more = identities(), identities(networks=3, subjects=3, methods=["ridge", "rsa", "cka"])
    assert all(more[key] == value for key, value in before.items())
    for change in ({"seed": 1}, {"resamples": 60}, {"settings": {"MODEL.GRID": [2, 2], "DATASET.DATA_DIR": ""}}):
        assert not set(identities(**change).values()) & set(before.values())
