"""Closing the loop: what is injected is found, forecasts follow from captions alone, tables refute the claims."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.reports.scores import scores

from vergence.cli.main import main
from vergence.corpus.forecast import of_such_captions
from vergence.data import POLICIES, Policy
from vergence.errors import ConfigError
from vergence.plots import forecast_beside_measurement
from vergence.studies.demo.spec import CEILING, Recipe
from vergence.studies.forecast.audit import Audit, audit_of, recovered
from vergence.studies.forecast.spec import FAITHFUL, SETTINGS
from vergence.studies.forecast.study import ForecastStudy
from vergence.studies.study import FAILS, HOLDS
from vergence.studies.table import judged
from vergence.theory import Outcome, judge


@pytest.fixture(scope="module")
def audits() -> dict[str, Audit]:
    return {name: audit_of(policy, seed=0, recipe=Recipe()) for name, policy in SETTINGS.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_audit_of_the_captions_recovers_what_was_injected(audits: dict, name: str) -> None:
    rows = recovered(audits[name], SETTINGS[name])
    assert all(row["covered"] for row in rows), rows
    assert bool(rows) == (name != FAITHFUL)
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("policy", [*SETTINGS.values(), *POLICIES.values()], ids=[*SETTINGS, *POLICIES])
def test_what_is_selected_and_perturbed_is_what_is_mentioned_and_redrawn_at_all(policy: Policy) -> None:
    bias = policy.misalignment
    assert bias.selected == {name for name, rate in bias.mention.items() if rate > 0}
    assert bias.perturbed == {name for name, channel in bias.channels.items() if channel.probability > 0}


def test_forecasts_follow_from_the_captions_alone(audits: dict) -> None:
    ends = {"floor": dict.fromkeys(POLICIES[FAITHFUL].misalignment.selected, 0.2)}
    ends["ceiling"] = dict.fromkeys(ends["floor"], 0.8)
    faithful, gone, both = (audits[name] for name in (FAITHFUL, "tone omitted 1", "both omitted 1"))
    for size in (4, 16, 64):  # what every caption tells is the block
        assert {one.low for one in faithful.predict(encoding_size=size, **ends).values()} == {0.8}
        assert set(faithful.statements(encoding_size=size).values()) == {"taught strongly"}
    assert {one.low for one in faithful.predict(encoding_size=3, **ends).values()} == {0.0}
    assert faithful.block == {"group", "subgroup", "skin_tone", "gender"}
    assert gone.block == {"group", "subgroup", "gender"}
    assert both.statements(encoding_size=16)["skin_tone"] == "not taught at all"
    tone = gone.predict(encoding_size=16, **ends)["skin_tone"]
    assert judge(tone, 0.15) == Outcome.AGREES
    assert judge(tone, 0.8) == Outcome.ABOVE
    for size in (2, 16):
        said = both.predict(encoding_size=size, **ends)
        assert max(said[name].high for name in ("skin_tone", "gender")) < 0.5


def test_strengths_between_never_and_always_leave_bounds_for_all_that_their_intervals_allow(audits: dict) -> None:
    audit = audits["tone omitted 0.5"]
    found = of_such_captions(audit.estimate)
    row = found[found["factors"] == ("skin_tone",)].iloc[0]
    assert row["low"] < np.sqrt(0.5) < row["high"]
    assert audit.predict(encoding_size=16)["skin_tone"].is_open  # stronger directions can fill so few, but need not
    assert audit.predict(encoding_size=3)["skin_tone"].high < row["low"]  # no output is spare
    assert audit.predict(encoding_size=200)["skin_tone"].low == pytest.approx(row["low"] ** 2)
    assert audit.statements(encoding_size=16)["skin_tone"] == "not determined"
    assert audit.statements(encoding_size=200)["skin_tone"] in {"taught strongly", "not determined"}


def table() -> pd.DataFrame:
    """Captions with tone and without it at 16 outputs, as trainings that keep to the forecast give them."""
    names = {"omit": "tone omitted 1", "perturb": "tone redrawn 0.9"}
    rows = scores("faithful", "omit", "perturb", seeds=2).replace({"captions": names})
    named = (rows["captions"] == "faithful") | (rows["factor"] != "skin_tone")
    return rows.assign(
        block=np.where(rows["captions"] == "faithful", 4, 3),
        predicted_low=np.where(named, rows["ceiling"] - 0.1, 0.0),
        predicted_high=np.where(named, 1.0, rows["floor"] + 0.05),
        statement="said",
    )


def outcomes(rows: pd.DataFrame) -> list[str | None]:
    return [claim.outcome for claim in ForecastStudy().claims(rows)]


def against(rows: pd.DataFrame) -> pd.DataFrame:
    """The table with outcomes that follow from its scores."""
    low, high = rows["value"] + 0.05 < rows["predicted_low"], rows["value"] - 0.05 > rows["predicted_high"]
    said = np.where(low, str(Outcome.BELOW), np.where(high, str(Outcome.ABOVE), str(Outcome.AGREES)))
    return rows.assign(outcome=said)


def test_the_claims_hold_of_a_table_that_keeps_to_the_forecast() -> None:
    found = outcomes(against(table()))
    assert found.count(HOLDS) == 3
    assert FAILS not in found


def test_empty_constant_and_shuffled_tables_refute_the_claims() -> None:
    assert HOLDS not in outcomes(table().iloc[:0])
    assert FAILS in outcomes(table().iloc[:0])
    for value in (0.0, 0.5, 1.0):
        assert FAILS in outcomes(against(table().assign(value=value)))
    for seed in range(5):
        mixed = np.random.default_rng(seed).permutation(table()["value"])
        assert FAILS in outcomes(against(table().assign(value=mixed)))
    assert FAILS in outcomes(table().assign(outcome=str(Outcome.OPEN)))


def test_one_epoch_claims_nothing() -> None:
    assert set(outcomes(against(table()).assign(epochs=1))) == {None}


def test_the_figure_has_a_panel_for_each_factor_and_size() -> None:
    rows = against(table().query("seed == 0"))
    block = rows.assign(encoding_size=rows["block"])
    titles = [axes.get_title("left") for axes in forecast_beside_measurement(pd.concat([rows, block])).axes]
    assert titles[:2] == ["skin tone, as the block", "gender, as the block"]
    assert titles[4] == "skin tone, 16 outputs"
    with pytest.raises(ConfigError, match="missing: ceiling"):
        forecast_beside_measurement(rows.drop(columns="ceiling"))
    with pytest.raises(ConfigError, match="missing: rows"):
        forecast_beside_measurement(rows.iloc[:0])
    with pytest.raises(ConfigError, match="select one seed"):
        forecast_beside_measurement(pd.concat([rows, rows]))


@pytest.mark.slow
def test_the_loop_closes_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["study", "run", "forecast", "--scale", "smoke", "--out", str(out)]
    assert main(command) == 0
    assert "came true" in capsys.readouterr().out
    first = pd.read_parquet(out / "table.parquet")
    assert sorted(first["encoding_size"].unique()) == [3, 4, 16, 64]
    assert first.loc[first["captions"] != CEILING, ["floor", "ceiling"]].notna().all(axis=None)
    runs = sorted(out.glob("runs/*/run.json"))
    assert (out / "predictions.json").stat().st_mtime_ns < min(path.stat().st_mtime_ns for path in runs)
    kept = runs[0].stat().st_mtime_ns
    runs[-1].unlink()
    assert main([*command, "--resume"]) == 0
    assert runs[0].stat().st_mtime_ns == kept
    pd.testing.assert_frame_equal(pd.read_parquet(out / "table.parquet"), first)
    assert main(["study", "run", "forecast", "--scale", "paper", "--out", str(tmp_path / "other")]) == 2
    assert "unknown scale 'paper'; known: smoke, cpu" in capsys.readouterr().err


COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "forecast"


def test_the_committed_claims_follow_from_the_committed_table() -> None:
    rows = pd.read_parquet(COMMITTED / "table.parquet")
    verdict = json.loads((COMMITTED / "verdict.json").read_text())
    assert [claim.record() for claim in ForecastStudy().claims(rows)] == verdict["claims"]
    pd.testing.assert_series_equal(judged(rows, margin=ForecastStudy.margin)["outcome"], rows["outcome"])
    assert set(SETTINGS) < set(rows["captions"])
