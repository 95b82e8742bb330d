import torch

from brainnet.space import BrainSpace, MapSet
from brainnet.space.map_sets import index_of, ranges_of


def test_categories_without_a_name_are_called_by_their_number():
    maps = MapSet(BrainSpace.free(3), {"a": torch.tensor([0, 2, -1]), "r": torch.ones(3)}, {"a": ["first"]})
    assert maps.is_categorical("a")
    assert not maps.is_categorical("r")
    assert maps.names_of("a") == ["first", "1", "2"]


def test_ranges_are_whole_numbers_in_rising_order():
    index = torch.tensor([9, 3, 1, 2, 9])
    assert ranges_of(index) == "1-3,9"
    assert index_of(ranges_of(index)).tolist() == [1, 2, 3, 9]
    assert index_of("").tolist() == []
