"""The committed results of the numerical study: their verdicts follow from their tables, and hold what they claim."""

import json
from pathlib import Path

import pandas as pd
import pytest

from vergence.studies.misalignment2025 import STUDIES
from vergence.studies.misalignment2025.verdicts import reaches_the_oracle

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SWEEPS = ("numeric-selection", "numeric-perturbation")
COMMITTED = sorted(path.parent.name for path in RESULTS.glob("numeric-*/verdict.json"))


def committed(name: str) -> pd.DataFrame:
    return pd.read_parquet(RESULTS / name / "table.parquet")


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_verdict_is_that_of_the_committed_table(name: str) -> None:
    verdict = json.loads((RESULTS / name / "verdict.json").read_text())
    assert verdict["claims"] == STUDIES[name].verdict(committed(name))
    assert f"vergence study run {name}" in verdict["command"]


@pytest.mark.parametrize("name", SWEEPS)
def test_both_sweeps_are_committed_whole(name: str) -> None:
    table = committed(name)
    assert table["run"].nunique() == 60
    assert sorted(table["seed"].unique()) == [0, 1, 2]
    assert table["value"].notna().all()


def test_both_sweeps_together_reach_the_oracle() -> None:
    claims = reaches_the_oracle(pd.concat(map(committed, SWEEPS)))
    assert len(claims) == 8
    assert all(claim["holds"] for claim in claims), claims


@pytest.mark.parametrize("name", COMMITTED)
def test_every_committed_study_shows_what_it_was_made_to_show(name: str) -> None:
    claims = STUDIES[name].verdict(committed(name))
    assert all(claim["holds"] for claim in claims), [claim for claim in claims if not claim["holds"]]


def test_the_shift_was_measured_on_five_seeds() -> None:
    assert committed("numeric-shift")["seed"].nunique() == 5
