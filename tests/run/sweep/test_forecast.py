from __future__ import annotations

import logging

import pytest

from brainnet.run.sweep import forecast
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.forecast import announce, largest
from brainnet.run.sweep.held import Held
from brainnet.run.sweep.plan import Chosen, make_plan
from tests.run.sweep.toys import asked, network


def announced(out, force=False, **change):
    plan = make_plan(read_definition(asked(**change)))
    held = Held(plan, out)
    surveys = {name: held.survey(name) for name in plan.definition.subjects}
    return announce(plan, held, surveys, plan.cells, out, 1, force)


def test_memory_disk_and_time_are_said_before_it_begins(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "brainnet.progress"):
        found = announced(tmp_path, networks=4, subjects=2)
    assert "forecast of 32 cells of 4 networks" in caplog.text
    assert found["seconds"] > 0
    assert found["disk_gb"] < 0.1


def test_what_does_not_fit_is_refused_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr("brainnet.run.forecast.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="--force"):
        announced(tmp_path, networks=4, subjects=2)
    assert announced(tmp_path, networks=4, subjects=2, force=True)


def test_a_network_that_cannot_be_built_does_not_end_it(tmp_path):
    assert announced(tmp_path, backbones=[network(k, broken=True) for k in range(4)]) is None


def test_few_cells_have_no_forecast(tmp_path):
    assert announced(tmp_path, networks=1, subjects=1) is None


def test_the_largest_network_stands_for_all():
    names = ["torchvision:squeezenet1_1", "torchvision:vgg16", "torchvision:alexnet"]
    assert largest(Chosen(name, name) for name in names).name == "torchvision:vgg16"


def test_a_ridge_of_more_images_is_forecast_to_take_longer():
    assert forecast._ridge_seconds(5000, 100, 50) > forecast._ridge_seconds(100, 100, 50)
