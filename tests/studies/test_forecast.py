"""Closing the loop: what is injected is found, what a forecast means, and the whole way through the command line."""

import json
from math import isnan
from pathlib import Path

import pandas as pd
import pytest

from vergence.cli.main import main
from vergence.corpus.forecast import CANNOT, IGNORED, LEARNED, MISSED, OPEN, PARTLY, THROUGH_OTHERS
from vergence.data import POLICIES, Policy, write_captions
from vergence.errors import ConfigError
from vergence.plots import forecast_beside_measurement
from vergence.studies.demo.corpus import Corpus, load_corpus
from vergence.studies.forecast import SCALES, SETTINGS, Scale
from vergence.studies.forecast.audit import audit_setting
from vergence.studies.forecast.rules import MEANINGS, judge
from vergence.studies.forecast.runner import summary
from vergence.studies.forecast.spec import REFERENCE, injected


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(SCALES["cpu"].training, seed=0)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_audit_of_the_captions_recovers_what_was_injected(corpus: Corpus, name: str) -> None:
    audit = audit_setting(corpus, write_captions(corpus.emoji, SETTINGS[name], seed=0), SETTINGS[name], Scale())
    for row in audit["estimate"]:
        selection, rho = injected(SETTINGS[name], row["factor"])
        assert row["selection_low"] <= selection <= row["selection_high"]
        assert row["rho_low"] <= rho <= row["rho_high"]
    assert all(row["covered"] for row in audit["recovered"])
    assert audit["sizes"] == sorted({audit["block"], 16, 64})
    json.dumps(audit, allow_nan=False)


@pytest.mark.parametrize("policy", [*SETTINGS.values(), *POLICIES.values()], ids=[*SETTINGS, *POLICIES])
def test_what_is_selected_and_perturbed_is_what_is_mentioned_and_redrawn_at_all(policy: Policy) -> None:
    rates = {factor: injected(policy, factor) for factor in ("skin_tone", "gender", "group", "subgroup")}
    assert policy.misalignment.selected == {factor for factor, (mentioned, _) in rates.items() if mentioned > 0}
    assert policy.misalignment.perturbed == {factor for factor, (_, redrawn) in rates.items() if redrawn > 0}


def said(corpus: Corpus, name: str) -> dict[tuple[int | None, str], str]:
    audit = audit_setting(corpus, write_captions(corpus.emoji, SETTINGS[name], seed=0), SETTINGS[name], Scale())
    return {(row["encoding_size"], row["factor"]): row["statement"] for row in audit["statements"]}


def test_forecasts_follow_from_the_captions_alone(corpus: Corpus) -> None:
    faithful, gone = said(corpus, REFERENCE), said(corpus, "tone omitted 1")
    assert {faithful[size, factor] for size in (4, 16, 64) for factor in corpus.emoji.space} == {LEARNED}
    assert [gone[size, "skin_tone"] for size in (None, 3, 16)] == [CANNOT, MISSED, OPEN]
    assert said(corpus, "tone redrawn 0.9")[3, "skin_tone"] == IGNORED


def test_a_rate_on_the_threshold_leaves_the_tone_open_at_every_size(corpus: Corpus) -> None:
    half = said(corpus, "tone omitted 0.5")
    assert {statement for (_, factor), statement in half.items() if factor == "skin_tone"} == {OPEN}
    assert half[64, "group"] == LEARNED


@pytest.mark.parametrize(
    ("statement", "measured", "given", "outcome"),
    [
        (LEARNED, (0.65, 0.7), (0.8, 0.0), "hit"),
        (LEARNED, (0.64, 0.9), (0.8, 0.0), "miss"),
        (MISSED, (0.2, 0.28), (0.8, 0.0), "hit"),
        (MISSED, (0.2, 0.29), (0.8, 0.0), "miss"),
        (MISSED, (0.2, 0.29), (0.8, 0.5), "miss"),
        (IGNORED, (0.2, 0.28), (0.8, 0.0), "hit"),
        (CANNOT, (0.2, 0.29), (0.8, 0.0), "miss"),
        (THROUGH_OTHERS, (0.3, 0.4), (0.8, 0.2), "hit"),
        (THROUGH_OTHERS, (0.3, 0.4), (0.8, -0.2), "miss"),
        (THROUGH_OTHERS, (0.3, 0.4), (0.8, 0.4), "no number"),
        (LEARNED, (0.2, 0.3), (0.2, 0.0), "no number"),
        (MISSED, (0.0, 0.01), (0.2, 0.0), "no number"),
        (OPEN, (0.5, 0.6), (0.8, 0.0), "no number"),
        (PARTLY, (0.5, 0.6), (0.8, 0.0), "no number"),
    ],
)
def test_each_statement_means_what_the_rules_say(
    statement: str, measured: tuple[float, float], given: tuple[float, float], outcome: str
) -> None:
    (value, high), (reference, told) = measured, given
    judged = judge(statement, {"value": value, "low": 0.0, "high": high}, reference=reference, told=told)
    assert judged.outcome == outcome
    assert isnan(judged.at_least) + isnan(judged.at_most) == (2 if outcome == "no number" else 1)
    assert (statement in MEANINGS) or outcome == "no number"


def table() -> pd.DataFrame:
    def row(statement: str, value: float, factor: str, **more: object) -> dict[str, object]:
        base = {"seed": 0, "setting": "a", "encoding_size": 3, "block": 3, "factor": factor, "given_size": True}
        base |= {"statement": statement, "reason": "because", "value": value, "low": value, "high": value}
        judged = judge(statement, base, reference=0.8)
        return base | {"reference": 0.8, "told": 0.0, "untrained": 0.1, **vars(judged), **more}

    return pd.DataFrame([row(LEARNED, 0.7, "x"), row(MISSED, 0.7, "y"), row(OPEN, 0.7, "z"), row(MISSED, 0.1, "w")])


def test_a_summary_counts_by_statement_and_beside_a_forecast_that_never_warns() -> None:
    found = summary(table())
    assert found["overall"] == {"hit": 2, "miss": 1, "no number": 1}
    assert found["by_statement"][MISSED] == {"hit": 1, "miss": 1, "no number": 0}
    assert found["hits_if_all_were_said_to_be_learned"] == 2
    assert [(row["factor"], row["at_most"], row["at_least"]) for row in found["misses"]] == [("y", 0.28, None)]


def test_the_figure_has_a_panel_for_each_factor_and_size() -> None:
    larger = table().assign(encoding_size=16)
    titles = [axes.get_title("left") for axes in forecast_beside_measurement(pd.concat([table(), larger])).axes]
    assert titles[:2] == ["x, as the block", "y, as the block"]
    assert titles[4] == "x, 16 outputs"
    with pytest.raises(ConfigError, match="missing: reference"):
        forecast_beside_measurement(table().drop(columns="reference"))
    with pytest.raises(ConfigError, match="missing: rows"):
        forecast_beside_measurement(table().assign(given_size=False))


def test_scales_hold_the_reference_and_refuse_no_trials() -> None:
    assert all(scale.settings[0] == REFERENCE for scale in SCALES.values())
    with pytest.raises(ConfigError, match="seeds must be >= 1; got 0"):
        Scale(seeds=0)


COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "forecast"


def test_the_committed_verdict_follows_from_the_committed_table_by_the_rules() -> None:
    table, verdict = pd.read_csv(COMMITTED / "table.csv"), json.loads((COMMITTED / "verdict.json").read_text())
    found = summary(table)
    assert {key: verdict[key] for key in found} == found
    assert set(table["setting"]) == set(SETTINGS)
    for _, row in table[~((table["setting"] == REFERENCE) & (table["encoding_size"] == 64))].iterrows():
        assert (
            judge(row["statement"], dict(row), reference=row["reference"], told=row["told"]).outcome == row["outcome"]
        )


def test_the_committed_forecasts_follow_from_captions_and_labels_alone(corpus: Corpus) -> None:
    for audit in json.loads((COMMITTED / "forecasts.json").read_text()):
        made = said(corpus, audit["setting"])
        assert {(row["encoding_size"], row["factor"]): row["statement"] for row in audit["statements"]} == made


@pytest.mark.slow
def test_the_loop_closes_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["study", "run", "forecast", "--scale", "smoke", "--out", str(out), "--workers", "1"]
    assert main(command) == 0
    assert "forecasts hit" in capsys.readouterr().out
    verdict, first = json.loads((out / "verdict.json").read_text()), (out / "table.csv").read_text()
    judged = pd.read_csv(out / "table.csv")
    assert verdict["overall"] == judged["outcome"].value_counts().reindex(verdict["overall"], fill_value=0).to_dict()
    assert sorted(judged["encoding_size"].unique()) == [3, 4, 16, 64]
    assert (out / "forecasts.json").stat().st_mtime_ns < min(
        path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")
    )
    runs = sorted(out.glob("runs/*/run.json"))
    kept = runs[0].stat().st_mtime_ns
    runs[-1].unlink()
    (out / "table.csv").unlink()
    assert main([*command, "--resume"]) == 0
    assert runs[0].stat().st_mtime_ns == kept
    assert (out / "table.csv").read_text() == first
    assert main(["study", "run", "forecast", "--scale", "paper", "--out", str(tmp_path / "other")]) == 2
    assert "unknown scale 'paper'; known: smoke, cpu" in capsys.readouterr().err
