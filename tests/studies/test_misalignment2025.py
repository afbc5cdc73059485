"""The numerical studies: settings, labels, verdicts, and resuming after a kill."""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.cli.main import main
from vergence.errors import VergenceError
from vergence.folders import JobFolder
from vergence.plots.sweep import scores_over_sweep
from vergence.random import generator
from vergence.studies.misalignment2025 import SCALES, STUDIES, RunSpec, run_study, study_of, table
from vergence.studies.misalignment2025.batched import BatchedConfig
from vergence.studies.misalignment2025.graded import fit_recovery
from vergence.studies.misalignment2025.measure import label, two_means
from vergence.studies.misalignment2025.runner import run_group
from vergence.studies.misalignment2025.spec import Scale
from vergence.studies.misalignment2025.verdicts import (
    follows_a_curve,
    omitting_what_shifts_helps,
    paired_interval,
    reaches_it_how_fast,
    reaches_the_oracle,
)
from vergence.studies.progress import StudyProgress


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_study_has_a_name_of_its_own(name: str) -> None:
    for scale in SCALES.values():
        specs = STUDIES[name].runs(scale, 2)
        assert len({spec.name for spec in specs}) == len(specs)
        assert {spec.seed for spec in specs} == {0, 1}
        assert all("/" not in spec.name for spec in specs)


def test_runs_that_differ_in_what_learns_see_the_same_pairs() -> None:
    first, second = (RunSpec(seed=3, perturbed=5, **more) for more in ({}, {"objective": "nt_xent", "output_size": 10}))
    assert first.name != second.name
    assert first.pairs_name == second.pairs_name != RunSpec(seed=3, perturbed=4).pairs_name


def test_both_sweeps_with_three_seeds_are_a_hundred_and_twenty_trainings() -> None:
    runs = [
        spec for name in ("numeric-selection", "numeric-perturbation") for spec in STUDIES[name].runs(SCALES["cpu"], 3)
    ]
    assert len(runs) == 120


def test_output_size_is_that_of_the_block_unless_told_otherwise() -> None:
    assert RunSpec(seed=0, selected=7, perturbed=3).n_outputs == 4
    assert RunSpec(seed=0, selected=7, perturbed=3, output_size=9).n_outputs == 9
    assert RunSpec(seed=0, selected=4, perturbed=1).misalignment.perturbed == {"s4"}


def test_dependence_changes_covariances_and_nothing_of_the_images_mixing() -> None:
    plain, tied = RunSpec(seed=0), RunSpec(seed=0, dependent=True, selected=3)
    assert torch.equal(plain.mixings().image.weights, tied.mixings().image.weights)
    covariance = tied.model().dependence.gaussian_covariance(tied.model().space)
    assert (covariance - torch.eye(10)).abs().max() > 1


@pytest.mark.parametrize("violation", ["holes", "far noise", "not injective"])
def test_each_violation_breaks_what_it_says(violation: str) -> None:
    spec = RunSpec(seed=0, perturbed=5, violation=violation)
    latents = spec.model().sample(2_000, spec.misalignment, generator=generator(0))
    noise = (latents.text_semantics - latents.semantics)[:, 5:]
    assert (latents.semantics.abs().min() >= 1) == (violation == "holes")
    assert bool((noise[noise != 0].abs() > 2).all()) == (violation == "far noise")
    x = torch.randn(4, 15, generator=generator(1))
    mirrored = torch.cat([-x[:, :1], x[:, 1:]], 1)
    same = torch.equal(spec.mixings().image(x), spec.mixings().image(mirrored))
    assert same == (violation == "not injective")


def test_a_label_sums_over_distinct_pairs_and_triples() -> None:
    z = torch.randn(3, 10, dtype=torch.float64, generator=generator(0))
    for n_first in (3, 5, 7, 9):
        for row, value in zip(z.tolist(), label(z, n_first).tolist(), strict=True):
            v = row[:n_first]
            slow = sum(x**2 + 0.3 * x**3 + 0.7 * (math.sin(x) + math.cos(x)) for x in v)
            slow += sum(0.4 * math.log(1 + abs(x)) + 0.6 * math.exp(-abs(x)) for x in v)
            slow += 0.5 * sum(a * b for a, b in combinations(v, 2))
            slow += 0.2 * sum(a * b * c for a, b, c in combinations(v, 3))
            assert value == pytest.approx(slow, rel=1e-9)


def test_two_means_cut_between_two_clusters() -> None:
    values = torch.cat([torch.full((30,), -1.0), torch.full((10,), 5.0)])
    assert two_means(values) == pytest.approx(2.0)


def scores(**columns: object) -> pd.DataFrame:
    base = {"metric": "r2", "domain": "in", "side": "image", "dependent": False, "seed": 0, "factor": "s1"}
    return pd.DataFrame([{**base, **row} for row in columns["rows"]])


def test_a_verdict_is_computed_from_the_table_alone() -> None:
    rows = [
        {"role": "unbiased", "value": 0.97, "oracle": 1.0},
        {"role": "omitted", "value": -0.01, "oracle": 0.0},
        {"role": "private", "value": 0.05, "oracle": 0.0},
        {"role": "private", "value": 0.01, "oracle": 0.0, "side": "text"},
    ]
    claims = {claim["claim"]: claim for claim in reaches_the_oracle(scores(rows=rows))}
    assert claims["independent: mean R2 of unbiased semantics"]["holds"]
    assert claims["independent: mean |measured - oracle| over semantics"]["measured"] == pytest.approx(0.015)
    assert not claims["independent: mean R2 of image-private variables"]["holds"]
    assert claims["independent: mean R2 of text-private variables"]["holds"]


def test_a_curve_is_found_again_and_checked_where_it_was_not_fitted() -> None:
    rng = np.random.default_rng(0)
    settings = [
        {"mention": q, "mismatch": r, "output_size": n, "n_unbiased": 10, "seed": seed}
        for q in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
        for r in (0.0, 0.2)
        for n in (5, 10, 20)
        for seed in range(3)
    ]
    runs = pd.DataFrame(settings)
    logit = 4 + 2 * np.log10(runs["mention"]) - 3 * runs["mismatch"] + 0.5 * np.log2(runs["output_size"] / 10)
    runs["value"] = np.minimum(1, runs["output_size"] / 10) / (1 + np.exp(-logit)) + rng.normal(0, 0.01, len(runs))
    intervals = list(fit_recovery(runs).intervals())
    for (term, value, low, high), truth in zip(intervals, (4, 2, -3, 0.5), strict=True):
        assert low < value < high
        assert value == pytest.approx(truth, abs=0.3), term
    table = runs.assign(side="image", role="unbiased", factor="s1", share=1.0, run=range(len(runs)))
    claims = {claim["claim"]: claim for claim in follows_a_curve(table)}
    assert claims["held-out settings: mean |fitted - measured| R2"]["holds"]
    assert claims["held-out settings: share inside the 95 % interval"]["holds"]
    moved = table.assign(value=table["value"].where(~table["mention"].isin((0.1, 0.01)), 0.0))
    claims = {claim["claim"]: claim for claim in follows_a_curve(moved)}
    assert not claims["held-out settings: mean |fitted - measured| R2"]["holds"]


def test_the_shift_verdict_needs_an_interval_that_excludes_zero() -> None:
    def rows(gain: float) -> pd.DataFrame:
        spread = (-0.02, -0.01, 0.0, 0.01, 0.02)
        return pd.DataFrame(
            {"factor": "y2 class", "seed": seed, "domain": domain, "selected": k, "value": 0.5 + up * (k == 8) + noise}
            for seed, noise in enumerate(spread)
            for domain in ("in", "out")
            for k, up in ((3, 0.0), (5, 0.0), (8, gain + noise), (10, 0.0))
        )

    helps, not_so = ({c["claim"]: c for c in omitting_what_shifts_helps(rows(gain))} for gain in (0.1, 0.001))
    assert helps["lower end of its paired 95 % interval"]["holds"]
    assert not not_so["lower end of its paired 95 % interval"]["holds"]


def test_a_paired_interval_is_students() -> None:
    from scipy.stats import ttest_1samp

    gains = np.array([0.1, 0.3, 0.2, 0.05])
    low, high = ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert paired_interval(gains) == pytest.approx((low, high))
    assert all(map(math.isnan, paired_interval(gains[:1])))


def run(study: str, out: Path, *, present: str = "refuse", reuse: tuple[Path, ...] = ()) -> dict:
    with StudyProgress("test") as progress:
        return run_study(
            study,
            scale="smoke",
            out=out,
            present=present,
            command="x",
            progress=progress,
            workers=1,
            reuse=reuse,
        )


@pytest.mark.slow
def test_a_study_takes_over_runs_of_another_that_it_has_too(tmp_path: Path) -> None:
    run("numeric-selection", tmp_path / "selection")
    run("numeric-shift", tmp_path / "shift", reuse=(tmp_path / "selection",))
    taken = sorted((tmp_path / "shift/runs").iterdir())
    assert len(taken) == 3
    for path in taken:  # with the seconds that it took
        assert path.read_text() == (tmp_path / "selection/runs" / path.name).read_text()
    both = [pd.read_parquet(tmp_path / name / "table.parquet") for name in ("selection", "shift")]
    independent = both[0][~both[0]["dependent"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(independent, both[1])


def test_only_folders_of_the_same_training_are_reused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study", "run", "numeric-shift", "--scale", "smoke", "--out", str(tmp_path / "out")]
    assert main([*command, "--reuse", str(tmp_path)]) == 2
    assert "holds no runs to reuse" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "job.json").write_text("{")
    assert main([*command, "--reuse", str(tmp_path)]) == 2
    assert "holds no runs to reuse" in capsys.readouterr().err
    assert main(["study", "run", "forecast", "--reuse", str(tmp_path)]) == 2
    assert "forecast shares no runs with another study; leave out --reuse" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_measured_before_the_end_is_of_the_outputs_that_there_were() -> None:
    training = BatchedConfig(steps=20, wide_steps=20, batch_size=64, width=32)
    told = []
    (done,) = run_group(
        [RunSpec(seed=0, selected=4, perturbed=2, milestones=3)],
        lambda step, total: told.append((step, total)),
        scale=Scale(seeds=1, training=training, n_probe=600),
    )
    assert told == [(20, 40), (40, 40)]
    rows = pd.DataFrame(done["rows"])
    of_image = rows[rows["side"] == "image"]
    assert of_image.groupby("share")["outputs"].unique().explode().to_dict() == {0.25: 4, 0.5: 4, 0.75: 2, 1.0: 2}
    assert set(of_image[of_image["outputs"] == 4]["status"]) == {"not determined"}
    early = of_image[(of_image["outputs"] == 4) & (of_image["role"] != "unbiased")]
    assert early["oracle"].isna().all()
    assert of_image[of_image["share"] == 1]["oracle"].notna().all()
    verdict = {claim["claim"]: claim["measured"] for claim in reaches_it_how_fast(of_run(done["rows"], value=0.95))}
    (share,) = (measured for name, measured in verdict.items() if "share of the training" in name)
    assert share == 0.75  # 4 outputs do not count


def of_run(rows: list[dict], *, value: float) -> pd.DataFrame:
    settings = {"objective": "l2_info_nce", "perturbed": 2, "output_size": 2, "bottleneck": 0.0}
    return pd.DataFrame([{**settings, **row, "value": value} for row in rows])


@pytest.mark.slow
def test_a_study_resumes_where_it_was_killed_and_comes_to_the_same(tmp_path: Path) -> None:
    whole = run("numeric-assumptions", tmp_path / "job")
    first = (tmp_path / "job/table.csv").read_text()
    specs = STUDIES["numeric-assumptions"].runs(SCALES["smoke"], 1)
    kept = tmp_path / "job/runs" / f"{specs[0].name}.json"
    before = kept.stat().st_mtime_ns
    (tmp_path / "job/runs" / f"{specs[1].name}.json").unlink()
    (tmp_path / "job/table.csv").unlink()
    again = run("numeric-assumptions", tmp_path / "job", present="resume")
    assert kept.stat().st_mtime_ns == before
    assert [c["claim"] for c in again["claims"]] == [c["claim"] for c in whole["claims"]]
    after = pd.read_csv(tmp_path / "job/table.csv")
    assert len(after) == len(first.splitlines()) - 1
    assert (tmp_path / "job/figure.svg").read_text().startswith("<?xml")
    assert len(table(specs, JobFolder(tmp_path / "job"))) == len(after)


def test_the_command_line_lists_studies_and_refuses_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list"]) == 0
    assert "numeric-selection" in capsys.readouterr().out
    assert main(["study", "run", "numeric-selektion"]) == 2
    assert "Did you mean 'numeric-selection'" in capsys.readouterr().err
    assert main(["study", "run", "numeric-shift", "--scale", "huge", "--out", "/nonexistent/x"]) == 2
    assert "unknown scale 'huge'; known: smoke, cpu, paper" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunSpec(seed=0, selected=11), "selected must be at most 10"),
        (lambda: RunSpec(seed=0, output_size=0), "output_size must be >= 1"),
        (lambda: RunSpec(seed=-1), "seed must be >= 0"),
        (lambda: RunSpec(seed=0, selected=3, perturbed=3), "perturbed below it; got 3 and 3"),
        (lambda: RunSpec(seed=0, mention=1.5), "mention must be a probability"),
        (lambda: RunSpec(seed=0, objective="triplet"), "unknown objective 'triplet'"),
        (lambda: RunSpec(seed=0, violation="all"), "unknown violation 'all'"),
        (lambda: fit_recovery(pd.DataFrame({"mention": [1.0]})), "needs more runs than that; got 1"),
        (lambda: study_of("numeric"), "unknown study 'numeric'"),
        (lambda: scores_over_sweep(pd.DataFrame(), over="k", label="k"), "table needs rows and the columns"),
    ],
)
def test_impossible_settings_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
