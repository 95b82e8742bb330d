"""Studies give the numbers that are expected of them, and the runner says so when they do not."""

from __future__ import annotations

import json

import pytest
import yaml

from studies import form
from studies.__main__ import main

NAMES = form.studies()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_small_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, "small", tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_default_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, "default", tmp_path, capsys)


def _gives_the_expected_numbers(name, kind, tmp_path, capsys):
    try:
        form.needed_settings(name, kind, form.data_folder(None))
    except form.MissingData as error:
        pytest.skip(str(error))
    code = main([name, *([] if kind == "default" else [f"--{kind}"]), "--out", str(tmp_path)])
    assert code == 0, capsys.readouterr()
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    assert json.loads((tmp_path / "numbers.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_readme_shows_the_expected_numbers(name):
    text = (form.FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert form.TABLE.search(text).group() == form.readme_table(form.read(name).expected["default"])
    assert form.read(name).question in text


@pytest.mark.parametrize("name", NAMES)
def test_every_expected_number_says_where_it_comes_from(name):
    for numbers in form.read(name).expected.values():
        for one in numbers.values():
            assert one["source"].startswith(("published: ", "theory: ", form.PINNED))


# ---------------------------------------------------------------------- the runner


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A study of one number, 2.0, and what its settings add; returns its folder."""
    folder = tmp_path / "studies" / "toy"
    folder.mkdir(parents=True)
    config = {
        "question": "Is it two?",
        "tolerance": 0.1,
        "default": {"add": 1, "needs": ["planted"]},
        "small": {"add": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "study.py").write_text("")
    (folder / "README.md").write_text("Is it two?\n<!-- numbers -->\n<!-- end of numbers -->\n")
    (tmp_path / "data" / "planted").mkdir(parents=True)
    (tmp_path / "data" / "planted" / "responses.npy").touch()
    monkeypatch.setattr(form, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(form, "import_module", lambda _: Toy)
    return folder


class Toy:
    @staticmethod
    def run(settings, data):
        from matplotlib.figure import Figure

        with form.reading():
            if (data / "planted" / "odd.npy").exists():
                raise ValueError("odd.npy has 3 rows;\n expected 4")
        if settings["add"] > 9:
            raise ValueError("a fault of the study")
        return {"sum": 1 + settings["add"]}, Figure()


def test_a_number_outside_its_tolerance_fails(toy, tmp_path, capsys):
    line = ["toy", "--data", str(tmp_path / "data")]
    for value, code in [(2.05, 0), (2.5, 1), (1.5, 1)]:
        expected = {"default": {"sum": {"value": value, "tolerance": 0.1, "source": "theory: 1 + 1"}}}
        (toy / "expected.json").write_text(json.dumps(expected))
        assert main(line) == code
    assert main([*line, "--small"]) == 1  # nothing is expected of the small form yet


def test_missing_data_are_one_line(toy, tmp_path, capsys):
    assert main(["toy", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "planted" in said
    assert "--data" in said
    (tmp_path / "data" / "planted" / "responses.npy").unlink()  # an empty folder is as good as none
    assert main(["toy", "--data", str(tmp_path / "data")]) == 2


def test_wrong_data_are_one_line_and_a_fault_of_the_study_is_not(toy, tmp_path, capsys):
    line = ["toy", "--data", str(tmp_path / "data")]
    (tmp_path / "data" / "planted" / "odd.npy").touch()
    assert main(line) == 2
    assert capsys.readouterr().err == "odd.npy has 3 rows; expected 4\n"
    (tmp_path / "data" / "planted" / "odd.npy").unlink()
    (toy / "config.yaml").write_text(yaml.safe_dump(form.read("toy").config | {"default": {"add": 10}}))
    with pytest.raises(ValueError, match="a fault of the study"):
        main(line)


def test_a_part_of_the_published_data_is_enough(toy, tmp_path, capsys):
    (toy / "config.yaml").write_text(yaml.safe_dump(form.read("toy").config | {"full": {"add": 3}}))
    absent = {"value": 1.0, "tolerance": 0.1, "source": "theory: one"}
    expected = {"full": {"sum": {**absent, "value": 4.0}, "of data that are not there": absent}}
    (toy / "expected.json").write_text(json.dumps(expected))
    line = ["toy", "--full", "--data", str(tmp_path / "data")]
    assert main(line) == 0
    assert "1 of 2 numbers are as expected, 1 not computed" in capsys.readouterr().out
    (toy / "expected.json").write_text(json.dumps({"default": expected["full"]}))
    assert main(line[:1] + line[2:]) == 1  # the default form computes all
    expected["full"]["sum"]["value"] = 5.0
    (toy / "expected.json").write_text(json.dumps(expected))
    assert main(line) == 1


@pytest.mark.parametrize("name", NAMES)
def test_full_form_without_data_is_one_line(name, tmp_path, capsys):
    assert main([name, "--full", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "see brainnet datasets" in said


def test_pin_keeps_what_was_published(toy, tmp_path):
    line = ["toy", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--pin"]
    assert main(line) == 0
    assert form.read("toy").expected["default"]["sum"]["value"] == 2.0
    assert "| sum | 2 ± 0.1 |" in (toy / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "numbers.json").read_text()) == {"sum": 2.0}
    published = {"default": {"sum": {"value": 3.0, "tolerance": 0.1, "source": "published: a paper"}}}
    (toy / "expected.json").write_text(json.dumps(published))
    assert main(line) == 1
    assert form.read("toy").expected == published


@pytest.mark.parametrize(
    ("numbers", "expectation", "verdict"),
    [
        ({"r": 0.5}, {"low": 0.4}, "as expected"),
        ({"r": 0.3}, {"low": 0.4}, "too low"),
        ({"r": 0.5}, {"high": 0.4}, "too high"),
        ({"r": float("nan")}, {"low": 0.4}, "not a number"),
        ({}, {"low": 0.4}, "not computed"),
    ],
)
def test_verdicts(numbers, expectation, verdict):
    assert form.compare(numbers, {"r": expectation}).verdict.tolist() == [verdict]
    assert form.compare(numbers, {}).verdict.tolist() == ["not pinned"] * len(numbers)
