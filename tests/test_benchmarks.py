"""Every case of the benchmarks of losses and training runs from end to end, at the size that it warms up with."""

from importlib import import_module

import pytest
from benchmarks.measure import Case, Side


def value(side: Side) -> float | None:
    return side.make(**{**side.sizes, **side.small})()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embed", "loading", "losses", "objectives", "train"])
def test_every_case_runs_and_both_sides_agree(name: str) -> None:
    cases: list[Case] = list(import_module(f"benchmarks.{name}").cases())
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        ours, peer = value(case.ours), value(case.peer) if case.peer else None
        if "modalities" not in case.name and "step with" not in case.name and None not in (ours, peer):
            assert ours == pytest.approx(peer, rel=1e-4), case.name
