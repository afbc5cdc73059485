"""Paired views in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ShapeError
from vergence.views import ViewPair

VIEWS = ViewPair(image=torch.arange(30).reshape(10, 3), text=torch.arange(10)[:, None])


@given(st.lists(st.integers(0, 9), max_size=20), st.sampled_from(["list", "int64", "int8", "uint8", "tensor"]))
def test_items_are_taken_in_the_given_order_and_stay_paired(rows: list[int], kind: str) -> None:
    given_as = rows if kind == "list" else torch.tensor(rows) if kind == "tensor" else np.array(rows, dtype=kind)
    taken = VIEWS.take(given_as)
    assert taken.text[:, 0].tolist() == rows
    assert (taken.image[:, 0] // 3).tolist() == rows
    assert len(taken) == len(rows)


def test_a_boolean_mask_takes_the_items_it_marks() -> None:
    mask = np.arange(10) % 4 == 1
    assert VIEWS.take(mask).text[:, 0].tolist() == VIEWS.take(torch.from_numpy(mask)).text[:, 0].tolist() == [1, 5, 9]


def test_views_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ShapeError, match="views must pair row by row; got 3 images and 2 texts"):
        ViewPair(image=torch.zeros(3, 8), text=torch.zeros(2, 8))


def test_a_row_that_is_not_there_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        VIEWS.take([10])
