"""Parts come back from the R2 they make up, in any number of spaces."""

import pytest
import torch

from brainnet.scores.partitioning import partition, partition_of, subsets


@pytest.mark.parametrize("n_spaces", [1, 2, 3, 4, 5])
def test_planted_parts_come_back_and_sum_to_the_joint_r2(rng, n_spaces):
    names = [f"space {i}" for i in range(n_spaces)]
    planted = {s: torch.randn(6, generator=rng, dtype=torch.float64) for s in subsets(names)}
    r2 = {s: sum(part for t, part in planted.items() if set(s) & set(t)) for s in subsets(names)}
    found = partition(r2)
    assert list(found) == subsets(names)
    for subset, part in planted.items():
        torch.testing.assert_close(found[subset], part, rtol=0, atol=1e-10)
    torch.testing.assert_close(sum(found.values()), r2[tuple(names)], rtol=0, atol=1e-10)


def test_three_spaces_equal_the_textbook_formulas():
    r2 = {"a": 0.3, "b": 0.25, "c": 0.2, "ab": 0.45, "ac": 0.4, "bc": 0.35, "abc": 0.5}
    found = partition({tuple(k): v for k, v in r2.items()})
    assert found["a",] == pytest.approx(r2["abc"] - r2["bc"])
    assert found["a", "b"] == pytest.approx(r2["ac"] + r2["bc"] - r2["c"] - r2["abc"])
    assert found["a", "b", "c"] == pytest.approx(0.3 + 0.25 + 0.2 - 0.45 - 0.4 - 0.35 + 0.5)


def test_negative_shares_are_kept():
    suppression = partition({("a",): 0.0, ("b",): 0.25, ("a", "b"): 0.5})
    assert suppression["a", "b"] == -0.25


def test_order_of_names_does_not_matter_but_every_subset_does():
    assert partition({("a",): 0.5, ("b",): 0.25, ("b", "a"): 0.625})["a", "b"] == 0.125
    with pytest.raises(ValueError, match=r"missing \(first: \('a', 'b'\)\); all 3"):
        partition({("a",): 0.5, ("b",): 0.25})
    with pytest.raises(ValueError, match="given twice"):
        partition({("a",): 0.5, ("b",): 0.25, ("a", "b"): 0.6, ("b", "a"): 0.6})
    with pytest.raises(ValueError, match="different names"):
        subsets(["a", "a"])
    with pytest.raises(ValueError, match="1 to 10"):
        subsets([str(i) for i in range(11)])


def test_partition_of_asks_each_subset_once():
    asked = []
    partition_of(lambda s: asked.append(s) or 0.1, ["x", "y", "z"])
    assert asked == subsets(["x", "y", "z"])
