"""The study of the spectrum: its laws, its estimates, its runs, and tables that refute its claims."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.errors import ConfigError
from vergence.random import generator, named
from vergence.studies.run import strict, verdict_of
from vergence.studies.spectrum import SpectrumStudy, laws, slices
from vergence.studies.spectrum.claims import extrapolated, pairs_needed
from vergence.studies.spectrum.linear import LinearConfig, train_linear
from vergence.studies.spectrum.measure import amplitudes, contrasts, loadings_of, measured, readings
from vergence.studies.spectrum.predict import predictions
from vergence.studies.spectrum.spec import CHANNELS, RunSpec, said_with
from vergence.studies.study import Claim
from vergence.studies.table import judged

STUDY = SpectrumStudy()
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "spectrum-numeric"
FAILING = {  # said in docs/spectrum-study.md
    "amplitudes y ≥ 0.3, redraw: largest distance, as a share",
    "shares on the sphere, 10 outputs, τ = 0.02, batch 4096: largest distance",
}


def spec(**settings: object) -> RunSpec:
    return RunSpec(**{"question": "test", "seed": 0, "strengths": (0.9, 0.6, 0.0), "n_private": 2, **settings})


def test_the_runs_are_listed_beforehand_each_with_a_name_of_its_own() -> None:
    runs = STUDY.runs("cpu", 3)
    assert len({STUDY.label(trial) for trial in runs}) == len(runs) <= 250
    assert {trial.run.question for trial in runs} == set(slices.SLICES)
    assert {trial.run.question for trial in STUDY.runs("smoke", 1)} == set(slices.SLICES)
    with pytest.raises(ConfigError, match="3 seeds at most; got seeds 4"):
        STUDY.runs("cpu", 4)


@pytest.mark.parametrize(("setting", "message"), [
    ({"channel": "blur"}, "unknown channel 'blur'; known: noise"),
    ({"strengths": (1.5,)}, r"strength must be a probability in \[0, 1\]; got 1.5"),
    ({"n_values": 3}, "noise needs a continuous factor"),
    ({"temperature": 0.0}, "temperature"),
])  # fmt: skip
def test_a_spec_refuses_what_cannot_be_run(setting: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec(**setting)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("k", [None, 3])
def test_texts_give_directions_the_strength_that_was_asked_for(channel: str, k: int | None) -> None:
    if k is not None and channel.startswith("noise"):
        return
    one = spec(strengths=(0.8, 0.5), channel=channel, n_values=k)
    latents = one.model.sample(40_000, one.misalignment, generator=generator(0))
    for place, (name, sigma) in enumerate(zip(one.space, one.strengths, strict=True)):
        shown = readings(one.space[name], latents.column(name))
        said = readings(one.space[name], latents.text_semantics[:, place])
        found = (shown.T @ said / len(shown)).diagonal()
        assert found.tolist() == pytest.approx([sigma] * len(found), abs=0.03)


def test_an_exact_factor_is_neither_omitted_nor_redrawn() -> None:
    assert said_with(1.0, "omission") == (1.0, None)


def test_readings_are_uncorrelated_and_of_variance_one() -> None:
    vectors = contrasts(5)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(4))
    torch.testing.assert_close(vectors.sum(0), torch.zeros(4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("beta", "tau"), [(0.0, 1.0), (0.2, 1.0), (0.5, 2.0)])
def test_the_one_way_law_minimises_the_population_loss(sigma: float, beta: float, tau: float) -> None:
    a, b = np.meshgrid(np.geomspace(1e-3, 30, 1500), np.geomspace(1e-3, 30, 1500), indexing="ij")
    spread = 1 + 2 * b**2 / tau
    loss = (a**2 + b**2 - 2 * a * b * sigma) * (1 / tau + beta) - np.log(spread) / 2 - a**2 / tau / spread
    at = np.unravel_index(loss.argmin(), loss.shape)
    assert laws.one_way(sigma, beta, tau) == pytest.approx(2 * a[at] * b[at] / tau, rel=0.04, abs=2e-3)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(("beta", "tau"), [(0.0, 1.0), (0.0, 4.0), (1.0, 4.0)])
def test_the_variational_law_minimises_the_population_loss(sigma: float, beta: float, tau: float) -> None:
    y = np.concatenate([[0.0], np.geomspace(1e-4, 100, 200_000)])
    whole = y + 2 / tau
    loss = y * (1 - sigma) * (1 + beta * tau / 2) - np.log1p(whole) / 2 - whole / (1 + whole) / 2
    assert laws.variational(sigma, beta, tau) == pytest.approx(y[loss.argmin()], rel=1e-3, abs=1e-3)


def test_amplitudes_of_a_short_training_are_near_the_equation() -> None:
    config = LinearConfig(small_steps=300, steps=60, small_batch=256, drawn_at_once=4096)
    one = spec(batch_size=1024, output_size=4)
    encoders = train_linear(one, config, generator=named(7, "test"), tell=lambda done, total: None)
    rows = measured(one, encoders, n=8192, temperature=1.0)
    found = {row["factor"]: row["value"] for row in rows if row["metric"] == "y"}
    law = dict(zip(("d1", "d2"), laws.expected(one)["y"], strict=False))
    assert found["d1"] == pytest.approx(law["d1"], rel=0.2)
    assert found["d2"] == pytest.approx(law["d2"], rel=0.3)
    assert found["d3"] < 0.1
    shares = [row["value"] for row in rows if row["metric"] == "share"]
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def trained(one: RunSpec, **settings: int) -> tuple[dict[str, float], list[float]]:
    """Amplitudes of a short training, and cosines of each direction's loadings on both sides."""
    config = LinearConfig(**{"small_steps": 300, "steps": 60, "small_batch": 256, "drawn_at_once": 4096, **settings})
    encoders = train_linear(one, config, generator=named(7, "test"), tell=lambda done, total: None)
    latents = one.model.sample(8192, one.misalignment, generator=named(8, "test"))
    z = [encoders(side, views) for side, views in enumerate(one.rendered(latents))]
    rows = amplitudes(one, latents, (z[0], z[1]), temperature=one.temperature)
    parts = [[readings(one.space[name], record[:, i]) for i, name in enumerate(one.space)]
             for record in (latents.semantics, latents.text_semantics)]  # fmt: skip
    loadings = [loadings_of(*pair) for pair in zip(z, parts, strict=True)]
    cosines = [float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) for a, b in zip(*loadings, strict=True)]
    return {row["factor"]: row["value"] for row in rows if row["metric"] == "y"}, cosines


@pytest.mark.slow
def test_two_redrawn_factors_have_the_equations_amplitudes_where_nine_at_once_do_not() -> None:
    one = spec(strengths=(0.9, 0.6), channel="redraw", batch_size=1024, output_size=3)
    found, _ = trained(one)
    assert found["d1"] == pytest.approx(4.854, rel=0.12)
    assert found["d2"] == pytest.approx(0.906, rel=0.12)


@pytest.mark.slow
def test_at_a_cold_temperature_unit_vectors_turn_both_sides_away_from_each_other_into_spare_outputs() -> None:
    strengths = (0.95, 0.9, 0.8)
    cold = {"strengths": strengths, "constraint": "unit", "temperature": 0.04, "batch_size": 256}
    _, spare = trained(spec(**cold, output_size=6))
    _, tight = trained(spec(**cold, output_size=3))
    assert max(spare) < 0.5
    assert min(tight) > 0.95
    assert max(spare) - min(spare) < 0.1  # one angle for all directions: it acts as a warmer temperature


def test_extrapolation_finds_where_the_equations_amplitudes_vanish() -> None:
    for beta, tau in slices.THRESHOLDS:
        start = beta * tau / (1 + beta * tau)
        strength = start + np.array(slices.ABOVE) * (1 - start)
        y = np.array([laws.amplitude((1 - one) * (1 + beta * tau)) for one in strength])
        assert extrapolated(strength, y) == pytest.approx(start, rel=0.05)
    assert extrapolated(np.array([0.3, 0.4]), np.array([0.1, 0.2])) is None
    assert extrapolated(strength, np.full(8, 0.1)) is None


def test_pairs_needed_are_read_where_half_is_read() -> None:
    base = {"question": "pairs", "metric": "r2_linear", "strength": 0.5}
    table = pd.DataFrame([{**base, "n_pairs": n, "value": value} for n, value in ((100, 0.0), (400, 1.0))])
    assert pairs_needed(table)[0.5] == pytest.approx(200)
    assert pairs_needed(table.assign(value=0.9)).empty


def test_every_prediction_is_of_what_is_measured_and_says_why() -> None:
    for trial in STUDY.runs("smoke", 1)[::4]:
        rows = predictions(trial.run)
        keys = [(row["factor"], row["metric"]) for row in rows]
        assert len(set(keys)) == len(keys)
        assert all(row["reason"] for row in rows)


def test_the_study_runs_and_measures_a_row_for_every_direction(tmp_path: Path) -> None:
    chosen = {"amplitudes": 1, "sizes": 2, "values": 1, "pairs": 1}
    trials = [
        trial
        for question, n in chosen.items()
        for trial in [one for one in STUDY.runs("smoke", 1) if one.run.question == question][:n]
    ]
    for group in STUDY.groups(trials):
        folders = [tmp_path] * len(group)
        for trial, result in zip(
            group, STUDY.measure(group, folders=folders, tell=lambda done, total: None), strict=True
        ):
            found = pd.DataFrame(result.rows)
            assert not found.duplicated(["factor", "metric"]).any()
            assert set(trial.run.space) <= set(found["factor"])
            said = {(row["factor"], row["metric"]) for row in predictions(trial.run)}
            assert set(map(tuple, found[["factor", "metric"]].to_numpy())) <= said


@cache
def committed() -> pd.DataFrame:
    return pd.read_parquet(RESULTS / "table.parquet")


def permuted_factors(table: pd.DataFrame) -> pd.DataFrame:
    """Every run keeps its numbers, but each is another direction's."""
    parts = table.groupby(["run", "metric"])["value"]
    return table.assign(value=parts.transform(lambda values: np.roll(values, len(values) // 2 + 1)))


REFUTING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "empty": lambda table: table.iloc[:0],
    "all one": lambda table: table.assign(value=1.0),
    "all nothing": lambda table: table.assign(value=0.0),
    "unmeasured": lambda table: table.assign(value=np.nan),
    "shuffled": lambda table: table.assign(value=np.random.default_rng(0).permutation(table["value"])),
    "permuted factors": permuted_factors,
}


def failing(claims: list[Claim]) -> set[str]:
    return {claim.statement for claim in claims if claim.outcome == "fails"}


@pytest.mark.parametrize("refuting", REFUTING)
def test_a_table_that_refutes_the_study_makes_every_bounded_claim_fail(refuting: str) -> None:
    claims = STUDY.claims(REFUTING[refuting](committed()))
    bounded = {claim.statement for claim in claims if claim.outcome is not None}
    assert len(bounded) == 16
    assert bounded == failing(claims)


def test_every_bounded_claim_is_met_by_the_studys_own_table() -> None:
    assert failing(STUDY.claims(committed())) == FAILING


def test_the_committed_verdict_and_predictions_are_those_of_today() -> None:
    table, verdict = committed(), json.loads((RESULTS / "verdict.json").read_text())
    again = strict(verdict_of(STUDY, table))
    assert {key: verdict[key] for key in again} == again
    assert "vergence study run spectrum-numeric" in verdict["command"]
    for trial in STUDY.runs("cpu", 3)[::11]:
        part = table[table["run"] == STUDY.label(trial)]
        said = pd.DataFrame(STUDY.predict(trial)).astype({"expected": float})
        both = part.merge(said, on=["side", "factor", "metric"], suffixes=("", "_now"), how="left")
        np.testing.assert_allclose(both["expected"], both["expected_now"], atol=1e-4)
    assert list(judged(table, margin=STUDY.margin)["outcome"]) == list(table["outcome"])
