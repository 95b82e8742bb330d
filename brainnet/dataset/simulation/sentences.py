"""Sentences of a simulated story: plain English, drawn from one seed, with topics that last for a while."""

from __future__ import annotations

import numpy as np

# topic -> who, what they do, with what, and where: words that a network of text tells apart by their meaning
TOPICS = {
    "sea": (("The old fisherman", "A young sailor", "The captain", "A lonely whale", "The lighthouse keeper"),
            ("pulled in", "watched", "lost", "was afraid of", "sang about"),
            ("the heavy nets", "a silver fish", "the broken mast", "a distant island", "the rising tide"),
            ("near the harbour", "far out at sea", "in the storm", "under the stars", "before the waves came")),
    "kitchen": (("My grandmother", "The cook", "A hungry child", "The baker", "Our neighbour"),
                ("tasted", "burned", "stirred", "forgot", "was proud of"),
                ("the tomato soup", "a loaf of bread", "the birthday cake", "six green apples", "the roasted chicken"),
                ("in the warm kitchen", "before dinner", "on the stove", "with too much salt", "for the guests")),
    "court": (("The judge", "A tired lawyer", "The accused man", "The witness", "A reporter"),
              ("read out", "denied", "doubted", "was ashamed of", "remembered"),
              ("the long verdict", "a signed contract", "the stolen money", "every accusation", "the old law"),
              ("in the courtroom", "without a word", "in front of the jury", "after the trial", "for the third time")),
    "space": (("The astronaut", "A young physicist", "The robot", "The mission control", "An engineer"),
              ("measured", "repaired", "dreamed of", "was curious about", "computed"),
              ("the orbit of the moon", "a red planet", "the fuel pump", "the speed of light", "a signal from Mars"),
              ("in the rocket", "with a telescope", "at zero gravity", "during the launch", "on the other side")),
    "war": (("The soldier", "A wounded horse", "The general", "A nurse", "The prisoner"),
            ("carried", "feared", "buried", "was angry about", "escaped from"),
            ("the broken rifle", "an enemy camp", "the burning village", "his dead brother", "the muddy trench"),
            ("at the front", "in the cold night", "behind the hill", "under heavy fire", "until the peace came")),
    "music": (("The violinist", "A shy girl", "The conductor", "An old drummer", "The audience"),
              ("played", "listened to", "loved", "was moved by", "practiced"),
              ("a slow waltz", "the second symphony", "an out of tune piano", "the quiet choir", "a jazz song"),
              ("at the concert", "in the empty hall", "all through the night", "with closed eyes", "on the radio")),
}  # fmt: skip
STAYS = 0.6  # chance that the next sentence is of the same topic


def sentences(n: int, generator: np.random.Generator) -> list[str]:
    """So many sentences, one after the other as in a story whose topic changes now and then.

    >>> sentences(2, np.random.default_rng(0))[0].endswith(".")
    True
    """
    names = list(TOPICS)
    found, topic = [], int(generator.integers(len(names)))
    for _ in range(n):
        if generator.random() > STAYS:
            topic = int(generator.integers(len(names)))
        words = [part[int(generator.integers(len(part)))] for part in TOPICS[names[topic]]]
        found.append(" ".join(words) + ".")
    return found
