from __future__ import annotations

from pathlib import Path

import pytest

from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.held import Busy, Held, alone, stimuli_of
from brainnet.run.sweep.plan import make_plan
from tests.run.sweep.toys import Subject, Tiny, asked, network, subject


def held_of(tmp_path, **change) -> Held:
    return Held(make_plan(read_definition(asked(**change))), tmp_path)


def cell_of(held, **wanted):
    return next(cell for cell in held.plan.cells if all(getattr(cell, name) == one for name, one in wanted.items()))


def test_subjects_of_the_same_stimuli_share_a_store_and_others_do_not(tmp_path):
    subjects = {"a": subject(0), "b": subject(1), "c": subject(2, pictures=5)}
    held = held_of(tmp_path, subjects=subjects, networks=1)
    paths = {name: held.store_path(cell_of(held, subject=name)) for name in subjects}
    assert paths["a"] == paths["b"] != paths["c"]


def test_a_network_is_asked_once_for_all_subjects_of_the_same_stimuli(tmp_path, monkeypatch):
    held, calls, real = held_of(tmp_path, subjects=3, networks=1), [], Tiny.get_tokens
    counting = lambda self, images: calls.append(len(images)) or real(self, images)  # noqa: E731
    for name in held.plan.definition.subjects:
        held.survey(name)
    backbone = held.backbone(held.plan.networks[0], "")
    monkeypatch.setattr(type(backbone), "get_tokens", counting)
    for cell in held.plan.cells:
        held.store(cell)
    assert sum(calls) == 60


def test_the_random_twin_has_a_store_of_its_own(tmp_path):
    held = held_of(tmp_path, controls=["random"], networks=1)
    own, twin = (held.store(cell_of(held, control=control)) for control in ("", "random"))
    assert own.fingerprint["weights"] != twin.fingerprint["weights"]
    assert own.fingerprint["images"] == twin.fingerprint["images"]


def test_one_network_is_held_at_a_time(tmp_path):
    held = held_of(tmp_path)
    first = held.backbone(held.plan.networks[0], "")
    assert held.backbone(held.plan.networks[0], "") is first
    held.backbone(held.plan.networks[1], "")
    assert held.backbone(held.plan.networks[0], "") is not first


def test_a_network_that_cannot_be_built_is_tried_once(tmp_path, monkeypatch):
    held = held_of(tmp_path, backbones=[network(0, broken=True)])
    with pytest.raises(RuntimeError, match="cannot be read"):
        held.backbone(held.plan.networks[0], "")
    monkeypatch.setattr(held, "network_of", None)
    with pytest.raises(ValueError, match="cannot be read"):
        held.backbone(held.plan.networks[0], "")


@pytest.mark.parametrize(("keep", "left"), [(0, 0), ("1 GB", 1)])
def test_tokens_go_when_they_are_done_unless_there_is_room_for_them(tmp_path, keep, left):
    held = held_of(tmp_path, networks=1, keep_tokens=keep)
    held.store(held.plan.cells[0])
    held.drop_tokens(held.plan.networks[0], "")
    assert len(list(tmp_path.rglob("*.bin"))) == left


def test_tokens_that_another_worker_makes_are_not_waited_for(tmp_path):
    held = held_of(tmp_path, networks=1)
    path = held.store_path(held.plan.cells[0])
    path.parent.mkdir(parents=True)
    with alone(path.with_name(f"{path.name}.making")), pytest.raises(Busy):
        held.store(held.plan.cells[0])


def test_the_shuffled_control_has_the_same_stimuli_and_other_responses(tmp_path):
    held = held_of(tmp_path)
    own, shuffled = (held.dataset(cell_of(held, control=control)) for control in ("", "shuffled"))
    assert shuffled.is_shuffled
    assert stimuli_of(own) == stimuli_of(shuffled)
    assert not own.responses.equal(shuffled.responses)


def test_stimuli_are_told_apart_by_their_pixels():
    assert stimuli_of(Subject(seed=0)) == stimuli_of(Subject(seed=1)) != stimuli_of(Subject(pictures=1))


def test_a_subject_that_cannot_be_scored_is_named(tmp_path):
    with pytest.raises(ValueError, match="s0"):
        held_of(tmp_path, subjects={"s0": subject(0, voxels=0)}).survey("s0")


def test_two_workers_may_drop_the_same_tokens_at_the_same_moment(tmp_path, monkeypatch):
    """One lists the folder that the other has just removed."""
    held = Held(make_plan(read_definition(asked(1, 1))), tmp_path)
    held.store(held.plan.cells[0])
    unlink = Path.unlink

    def both(path, missing_ok=False):
        unlink(path, missing_ok)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()

    monkeypatch.setattr(Path, "unlink", both)
    held.drop_tokens(held.plan.networks[0], "")
    assert not list((tmp_path / "tokens").iterdir())


def test_a_folder_that_another_worker_removes_is_looked_at_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    with pytest.raises(Busy), alone(tmp_path / "gone" / "tokens"):
        pass
