"""Settings of an evaluation: words and options told apart, and what is written of them."""

import pytest

from brainnet.rsa.inference.settings import Inference


def test_words_of_settings_and_of_the_comparison_are_told_apart():
    found, options = Inference.and_options("whitened-cosine", {"seed": 3, "noise_covariance": "S"})
    assert (found, options) == (Inference(seed=3), {"noise_covariance": "S"})
    with pytest.raises(ValueError, match="Did you mean 'pooling'"):
        Inference.and_options("spearman", {"poolling": "mean"})
    with pytest.raises(ValueError, match="Unknown argument 'unbiased'"):
        Inference.and_options("spearman", {"unbiased": False})


@pytest.mark.parametrize("word", ["generalise", "test", "correction", "bound", "errors", "pooling", "nan"])
def test_an_unknown_word_names_the_known_ones(word):
    with pytest.raises(ValueError, match=f"{word} must be one of"):
        Inference(**{word: "x"})


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        Inference(level=95)
    with pytest.raises(ValueError, match="n_permutations of at least 1, got 0"):
        Inference(test="sign-flip", n_permutations=0)


def test_differences_after_permuted_labels_reach_new_conditions():
    assert Inference(test="permutation", generalise="subjects").differences_generalise == "both"
    assert Inference(generalise="subjects").differences_generalise == "subjects"


def test_the_record_says_what_was_used():
    described = Inference(generalise="subjects", squared=True, bound="upper").described("pearson", {})
    assert (described["errors"], described["n_resamples"], described["n_permutations"]) == ("over subjects", 0, 0)
    assert described["ceiling_share"] == "score / upper noise ceiling (squared, pearson, all subjects, optimal pooling)"
    assert Inference().described("kendall", {})["n_resamples"] == 1000
