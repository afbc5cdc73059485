"""Blockwise forms do not hold the matrix of all pairs: measured in processes of their own, as benchmarks are."""

import pytest
from benchmarks.losses import loss_step
from benchmarks.measure import Case, Side, measure

SMALL = {"batch": 64}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["info_nce", "nt_xent", "sigmoid_loss", "l2_info_nce"])
def test_peak_is_a_quarter_of_the_plain_form_s_or_less(name: str) -> None:
    sizes = {"name": name, "batch": 4096, "dim": 32}
    blocked = Side(make=loss_step, sizes=sizes | {"settings": {"block_size": 256}}, small=SMALL)
    plain = Side(make=loss_step, sizes=sizes | {"settings": {}}, small=SMALL)
    (result,) = measure([Case(name=name, ours=blocked, peer=plain, repeats=1, rounds=1)])
    assert result["ours"]["value"] == pytest.approx(result["peer"]["value"], rel=1e-5)
    assert result["memory_ratio"] <= 0.25
