"""Sentences of a simulated story."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from brainnet.dataset.simulation.sentences import STAYS, TOPICS, sentences


def test_a_story_follows_from_its_generator_and_stays_with_a_topic():
    story = sentences(400, np.random.default_rng(0))
    assert story == sentences(400, np.random.default_rng(0))
    assert story != sentences(400, np.random.default_rng(1))
    of_topic = {who: topic for topic, parts in TOPICS.items() for who in parts[0]}
    topics = [next(topic for who, topic in of_topic.items() if text.startswith(who)) for text in story]
    stays = np.mean([a == b for a, b in pairwise(topics)])
    expected = STAYS + (1 - STAYS) / len(TOPICS)
    assert abs(stays - expected) < 0.1  # 400 sentences: standard error .02
    assert set(topics) == set(TOPICS)
