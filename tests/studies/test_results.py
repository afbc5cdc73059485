"""The committed results of the numerical study: verdicts follow from their tables, and tables that refute them do."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vergence.studies.misalignment2025 import STUDIES, graded
from vergence.studies.misalignment2025.claims import reaches_the_oracle
from vergence.studies.misalignment2025.measure import role
from vergence.studies.run import strict, verdict_of
from vergence.studies.study import Claim
from vergence.studies.table import judged

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SWEEPS = ("numeric-selection", "numeric-perturbation")
COMMITTED = sorted(path.parent.name for path in RESULTS.glob("numeric-*/verdict.json"))
FAILING = {  # said in docs/numeric-study.md
    "dependent: R² of unbiased semantics, worst setting",
    "dependent: R² of unbiased semantics, worst variable of any run",
    "dependent: distance of semantics to the prediction, worst variable of any run",
    "independent: distance of label R² to that of the true block, worst label and size of the block",
}


def committed(name: str) -> pd.DataFrame:
    return pd.read_parquet(RESULTS / name / "table.parquet")


def verdict(name: str) -> dict:
    return json.loads((RESULTS / name / "verdict.json").read_text())


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_verdict_is_that_of_the_committed_table(name: str) -> None:
    again = strict(verdict_of(STUDIES[name], committed(name)))
    assert {key: verdict(name)[key] for key in again} == again
    assert f"vergence study run {name}" in verdict(name)["command"]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_predictions_and_outcomes_are_what_theory_says_today(name: str) -> None:
    study, table = STUDIES[name], committed(name)
    seeds = table["seed"].unique()
    for trial in study.runs("cpu", len(seeds))[:: 7 if len(table) > 1000 else 1]:
        part = table[(table["run"] == study.label(trial)) & (table["role"] != "label")]
        assert len(part)
        said = pd.DataFrame(study.predict(trial)).astype({"expected": float})
        both = part.merge(said, on=["side", "factor", "domain", "outputs"], suffixes=("", "_now"), how="left")
        for column in ("predicted_low", "predicted_high", "expected"):
            np.testing.assert_allclose(both[column], both[f"{column}_now"].astype(float), atol=1e-5)
    assert list(judged(table, margin=study.margin)["outcome"]) == list(table["outcome"])


@pytest.mark.parametrize("name", SWEEPS)
def test_both_sweeps_are_committed_whole(name: str) -> None:
    table = committed(name)
    assert table["run"].nunique() == 60
    assert sorted(table["seed"].unique()) == [0, 1, 2]
    assert table["value"].notna().all()


@pytest.mark.parametrize("name", COMMITTED)
def test_every_committed_claim_holds_but_for_those_that_the_docs_name(name: str) -> None:
    failing = {claim.statement for claim in STUDIES[name].claims(committed(name)) if claim.outcome == "fails"}
    assert failing <= FAILING
    assert any(claim.outcome == "holds" for claim in STUDIES[name].claims(committed(name)))


def test_every_failure_that_the_docs_name_is_one() -> None:
    failing = {c["statement"] for name in COMMITTED for c in verdict(name)["claims"] if c["outcome"] == "fails"}
    assert failing == FAILING


def test_the_means_of_both_sweeps_together_reach_the_oracle() -> None:
    claims = [c for c in reaches_the_oracle(pd.concat(map(committed, SWEEPS))) if c.statement.endswith("mean")]
    assert len(claims) == 8
    assert all(claim.outcome == "holds" for claim in claims), claims


def test_the_shift_was_measured_on_five_seeds() -> None:
    assert committed("numeric-shift")["seed"].nunique() == 5


@cache
def as_predicted(name: str) -> pd.DataFrame:
    """A table of a study that has not been committed, with every score where it is expected."""
    study, rows = STUDIES[name], []
    for trial in study.runs("cpu", 2):
        settings = {"run": study.label(trial), **study.settings(trial)}
        for said in study.predict(trial):
            value = said["expected"] if said["expected"] is not None else said["predicted_low"]
            kind = role(trial.run, said["factor"])
            base = {**settings, **said, "role": kind, "metric": "r2", "share": 1.0, "value": value, "ceiling": np.nan}
            rows.append(base)
    table = pd.DataFrame(rows)
    at_end = table["outputs"] == table["output_size"]
    return pd.concat([table[at_end], table.assign(share=0.5)], ignore_index=True)


def table_of(name: str) -> pd.DataFrame:
    return committed(name) if name in COMMITTED else as_predicted(name)


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=np.random.default_rng(0).permutation(table["value"]))


def permuted_factors(table: pd.DataFrame) -> pd.DataFrame:
    """Every run keeps its scores, but each is another factor's."""
    parts = table.groupby(["run", "side", "share"])["value"]
    return table.assign(value=parts.transform(lambda values: np.roll(values, len(values) // 2 + 1)))


REFUTING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "empty": lambda table: table.iloc[:0],
    "all one": lambda table: table.assign(value=1.0),
    "all nothing": lambda table: table.assign(value=0.0),
    "all half": lambda table: table.assign(value=0.5),
    "unmeasured": lambda table: table.assign(value=np.nan),
    "shuffled": shuffled,
    "permuted factors": permuted_factors,
}


def failing(claims: list[Claim]) -> set[str]:
    return {claim.statement for claim in claims if claim.outcome == "fails"}


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graded, "_RESAMPLES", 40)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("refuting", REFUTING)
def test_a_table_that_refutes_a_study_makes_claims_fail(name: str, refuting: str) -> None:
    table = table_of(name)
    before = failing(STUDIES[name].claims(table))
    claims = STUDIES[name].claims(REFUTING[refuting](table))
    assert failing(claims) - before, claims
    if refuting in {"empty", "unmeasured"}:
        assert not [claim for claim in claims if claim.outcome == "holds"]


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("name", STUDIES)
def test_every_bounded_claim_is_refuted_by_some_table_and_met_by_the_studys_own(name: str) -> None:
    table = table_of(name)
    claims = STUDIES[name].claims(table)
    refuted = set().union(*(failing(STUDIES[name].claims(change(table))) for change in REFUTING.values()))
    bounded = {claim.statement for claim in claims if claim.outcome is not None}
    assert bounded <= refuted
    assert failing(claims) <= FAILING
