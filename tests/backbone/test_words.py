from __future__ import annotations

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
        absent = {plain(name) for name in ABSENT[argument]}
        wrong = {s: w for s, w in SPELLINGS[argument].items() if plain(w) not in known | groups | absent}
        assert not wrong, (argument, wrong)
        for name, members in GROUPS[argument].items():
            assert {plain(member) for member in members} & known, (argument, name)


def test_spellings_are_written_plainly():
    for spellings in SPELLINGS.values():
        assert [s for s in spellings if plain(s) != s] == []


def test_reasons_are_sentences():
    for reasons in ABSENT.values():
        for why in reasons.values():
            assert why.endswith(".")
            assert "--" not in why  # a library user has no options
