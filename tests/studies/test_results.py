"""The committed results of the numerical study: their verdicts follow from their tables, and hold what they claim."""

import json
from pathlib import Path

import pandas as pd
import pytest

from vergence.studies.misalignment2025 import STUDIES
from vergence.studies.misalignment2025.verdicts import omitting_what_shifts_helps, reaches_the_oracle

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


def test_leaving_out_what_shifts_helps_out_of_domain_in_five_seeds() -> None:
    table = committed("numeric-shift")
    assert table["seed"].nunique() == 5
    claims = omitting_what_shifts_helps(table)
    assert all(claim["holds"] for claim in claims), claims
