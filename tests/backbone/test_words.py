from __future__ import annotations

import re

from brainnet.backbone import BACKBONES
from brainnet.backbone.networks import all_networks
from brainnet.backbone.words import ABSENT, GROUPS, SPELLINGS, plain

COLUMN = {"task": "task", "trained_on": "training_set", "method": "method"}


def values(argument: str) -> set[str]:
    found = {value for n in all_networks() for value in getattr(n, COLUMN[argument]).split(", ")}
    return {plain(value) for value in found}


def test_other_spellings_and_words_for_several_end_in_words_of_the_table():
    for argument in COLUMN:
        known = values(argument)
        groups = {plain(name) for name in GROUPS[argument]}
        absent = {plain(word) for one in ABSENT for word in one.words.get(argument, ())}
        wrong = {s: w for s, w in SPELLINGS[argument].items() if plain(w) not in known | groups | absent}
        assert not wrong, (argument, wrong)
        for name, members in GROUPS[argument].items():
            assert {plain(member) for member in members} & known, (argument, name)


def test_spellings_are_written_plainly():
    for spellings in SPELLINGS.values():
        assert [s for s in spellings if plain(s) != s] == []


def test_reasons_are_sentences():
    for one in ABSENT:
        assert one.why.endswith(".")
        assert "--" not in one.why  # a library user has no options
        assert len(one.why) > 20
        assert "\n" not in one.why


def test_networks_that_reasons_point_to_are_there():
    pointed_to = {word for one in ABSENT for word in re.findall(r"\b[a-z0-9]+:[\w-]+", one.why)}
    assert len(pointed_to) > 3
    for name in sorted(pointed_to):
        family, _, variant = name.partition(":")
        if family != "transformers":
            assert variant in [one.partition("=")[0] for one in BACKBONES.variants(family)], name


def test_what_is_absent_is_said_once():
    names = [plain(name) for one in ABSENT for name in one.names]
    assert len(set(names)) == len(names)
