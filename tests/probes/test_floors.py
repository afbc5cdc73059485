"""Floor and ceiling beside scores, and what a place between them is called."""

from math import isnan, nan

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError
from vergence.probes.floors import Standing, beside, share, shares, standing

SCORES = st.floats(-1, 1)


@given(score=SCORES, floor=st.floats(-0.5, 0.5), width=st.floats(0.1, 0.5))
def test_a_share_is_0_at_the_floor_1_at_the_ceiling_and_rises_with_the_score(
    score: float, floor: float, width: float
) -> None:
    ends = {"floor": floor, "ceiling": floor + width}
    assert share(floor, **ends) == 0
    assert share(floor + width, **ends) == pytest.approx(1)
    assert (share(score + 0.1, **ends) - share(score, **ends)) * width == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("score", "said"),
    [(0.9, Standing.LEARNED), (0.75, Standing.LEARNED), (0.5, Standing.PARTLY), (0.25, Standing.NOT_LEARNED)],
)
def test_a_score_stands_where_its_share_is(score: float, said: Standing) -> None:
    assert standing(score, floor=0.0, ceiling=1.0) is said
    assert standing(-0.4, floor=0.0, ceiling=1.0) is Standing.NOT_LEARNED


@pytest.mark.parametrize("ends", [(0.3, 0.3), (0.4, 0.3), (0.3, 0.34), (nan, 0.9), (0.1, nan)])
def test_without_room_between_the_ends_nothing_is_said(ends: tuple[float, float]) -> None:
    assert isnan(share(0.5, floor=ends[0], ceiling=ends[1]))
    assert standing(0.5, floor=ends[0], ceiling=ends[1]) is Standing.UNTOLD


def table() -> pd.DataFrame:
    rows = [("untrained", 16, 0.2), ("labels", 16, 0.8), ("captions", 16, 0.5), ("captions", 64, 0.5)]
    return pd.DataFrame(rows, columns=["taught_by", "encoding_size", "value"]).assign(factor="tone")


def test_every_score_gets_the_ends_of_its_own_size() -> None:
    ends = {"teacher": "taught_by", "floor": "untrained", "ceiling": "labels", "by": ("factor", "encoding_size")}
    found = beside(table(), **ends)
    assert found["floor"].tolist()[:3] == [0.2] * 3
    assert found["ceiling"].tolist()[:3] == [0.8] * 3
    assert isnan(found["floor"][3])
    assert shares(found)[2] == pytest.approx(0.5)
    pd.testing.assert_frame_equal(beside(found, **ends), found)
    with pytest.raises(ConfigError, match="each score must have one floor"):
        beside(pd.concat([table(), table()]), **ends)
    with pytest.raises(ConfigError, match="missing: seed"):
        beside(table(), **{**ends, "by": ("factor", "seed")})
