"""Image studies: what is trained, what is measured of it, and claims that a wrong table breaks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.data.official import write_multimodal

from vergence.data import load_scenes
from vergence.errors import ConfigError
from vergence.studies.images import STUDIES
from vergence.studies.images.ideal import least_loss
from vergence.studies.images.misalignment import CAUSAL3DIDENT, MPI3D, SIZES
from vergence.studies.images.oracle import told
from vergence.studies.images.sets import load_set
from vergence.studies.images.spec import CAPTIONS, CODES, LABELS, NOTHING, Budget, ImageRun, SetSpec, always, ends
from vergence.studies.images.study import label, predictions, words_of
from vergence.studies.images.train import ManyTexts
from vergence.studies.progress import StudyProgress
from vergence.studies.registry import STUDIES as ALL
from vergence.studies.run import run_study

TINY = SetSpec(name="mpi3d-like", n_images=120, side=16)


def run_of(**settings):
    base = {"data": TINY, "seed": 0, "taught_by": CAPTIONS, "encoding_size": 2, "mention": always("color", "size")}
    return ImageRun(**{**base, **settings})


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_study_is_listed_and_has_the_scales_that_are_asked_for(study):
    assert ALL[study.name] is study
    assert study.scales == ("smoke", "cpu", "paper")


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_run_has_its_floor_and_its_ceiling_and_a_name_of_its_own(study):
    runs = study.runs("cpu", 2)
    names = [label(run) for run in runs]
    assert len(set(names)) == len(names)
    for run in runs:
        if run.contrastive:
            assert set(ends(run).values()) <= set(runs)


@pytest.mark.parametrize(
    "study", [study for study in STUDIES if "length" not in study.name], ids=lambda study: study.name
)
def test_no_run_at_cpu_scale_sees_more_than_100_000_images(study):
    for run in study.runs("cpu", 1):
        n_train = int(run.data.n_images * 2 / 3)
        steps = run.budget.epochs * (n_train // run.budget.batch_size)
        assert steps * run.budget.batch_size <= 100_000, label(run)


def test_the_lengths_of_training_begin_with_that_of_the_study_they_question():
    runs = [run for run in ALL["mpi3d-training-length"].runs("cpu", 1) if run.taught_by == CAPTIONS]
    shortest = min(run.budget.epochs for run in runs)
    assert {run for run in runs if run.budget.epochs == shortest} <= set(ALL["mpi3d-selection"].runs("cpu", 1))
    assert len(runs) == 4


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_an_empty_table_holds_no_bounded_claim(study):
    columns = [
        *("run", "seed", "images", "taught_by", "texts", "selected", "perturbed", "n_unbiased"),
        *("encoding_size", "objective", "temperature", "learned", "bottleneck", "image_encoder", "epochs"),
        *("side", "factor", "metric", "role", "probe", "value", "low", "high", "told"),
        *("predicted_low", "predicted_high", "expected", "reason", "floor", "ceiling", "outcome"),
    ]
    claims = study.claims(pd.DataFrame(columns=columns))
    assert claims
    assert not [claim.statement for claim in claims if claim.outcome == "holds"]


def test_captions_select_and_perturb_in_the_published_order_at_the_published_sizes():
    runs = [run for run in ALL["causal3dident-perturbation"].runs("cpu", 1) if run.taught_by == CAPTIONS]
    by_wrong = {len(run.redraw): run for run in runs}
    assert [by_wrong[k].encoding_size for k in range(7)] == list(SIZES[::-1])
    assert [name for name, _ in by_wrong[2].redraw] == list(CAUSAL3DIDENT[-2:])
    runs = [run for run in ALL["mpi3d-selection"].runs("cpu", 1) if run.taught_by == CAPTIONS]
    assert sorted(tuple(name for name, _ in run.mention) for run in runs) == sorted(MPI3D[:k] for k in range(1, 6))


def test_what_a_batch_is_told_follows_from_its_rows_alone():
    texts = torch.arange(8)[:, None, None].expand(8, 20, 1) * 100 + torch.arange(20)[None, :, None]
    views = ManyTexts(torch.arange(20)[:, None], texts, seed=3)
    once, again = views.take([4, 9, 2]), views.take([4, 9, 2])
    assert torch.equal(once.text, again.text)
    assert (once.text[:, 0] % 100).tolist() == [4, 9, 2]
    drawn = {int(views.take([row, row + 1]).text[0, 0]) // 100 for row in range(19)}
    assert len(drawn) > 3  # other company, another caption


def test_of_independent_factors_the_block_tells_itself_and_nothing_else():
    scores = told("mpi3d-like", always("color", "shape"), (("shape", 0.5),))
    assert scores["color"] == 1.0
    assert {name for name, score in scores.items() if score} == {"color"}


def test_a_color_name_tells_a_hue_in_part_and_causes_tell_their_effects():
    scores = told("causal3dident", always("object_hue", "spot_position"), ())
    assert 0.6 < scores["object_hue"] < 0.9  # by the nearest of ten names
    assert 0.3 < scores["spot_hue"] < 0.6  # half of its variance is the spotlight's position, known by fifths
    assert scores["spot_position"] > 0.9
    assert scores["shape"] < 0.05
    assert scores["rotation_alpha"] < 0.05


def test_predictions_are_of_every_factor_and_side():
    rows = list(predictions(run_of()))
    assert {(row["side"], row["factor"]) for row in rows} == {
        (side, factor) for side in ("image", "text") for factor in TINY.scenes.space
    }
    by = {row["factor"]: row for row in rows if row["side"] == "image"}
    assert by["color"]["predicted_low"] == 1.0
    assert by["background"]["predicted_high"] == 0.0


@pytest.mark.slow
def test_the_least_loss_is_below_that_of_any_table_and_falls_with_outputs():
    settings = {"temperature": 0.2, "budget": Budget(batch_size=32)}
    two, three = (least_loss(run_of(encoding_size=n, **settings)) for n in (2, 3))
    assert three < two < np.log(2 * 32)  # what vectors that are all alike have
    assert three < least_loss(run_of(mention=always("color"), encoding_size=3, **settings))  # they say less


def test_what_has_no_small_grid_has_no_least_loss():
    data = SetSpec(name="causal3dident", n_images=120, side=16)
    assert least_loss(run_of(data=data, mention=always("shape", "object_hue"))) is None
    assert least_loss(run_of(taught_by=LABELS)) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"taught_by": "caption"}, "unknown taught_by .caption."),
        ({"objective": "clip"}, "unknown objective .clip."),
        ({"encoding_size": 0}, "encoding_size must be >= 1"),
        ({"bottleneck": -1.0}, "bottleneck must be a finite number >= 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        run_of(**settings)


def test_texts_are_described_in_words():
    run = run_of(mention=(("color", 1.0), ("size", 0.5)), redraw=(("color", 0.9),))
    assert words_of(run) == "color (90% redrawn), size (50% named)"


def test_floor_and_ceiling_share_images_seed_encoder_and_budget():
    run = run_of(encoding_size=40, budget=Budget(epochs=2), seed=3)
    floor, ceiling = ends(run)[NOTHING], ends(run)[LABELS]
    assert (floor.encoding_size, ceiling.encoding_size) == (40, 40)
    assert ends(run_of())[LABELS].encoding_size == 32
    assert floor.budget == ceiling.budget == run.budget
    assert not floor.contrastive
    assert run_of(taught_by=CODES).contrastive


def test_images_of_an_official_folder_keep_their_labels(tmp_path):
    folder = write_multimodal(tmp_path / "part")
    study = ALL["causal3dident-selection"].on(folder)
    run = study.runs("smoke", 1)[0]
    assert (run.data.file, len(run.data.digest)) == (str(folder), 16)
    data = replace(run.data, n_images=12, side=8)
    images, pairs = load_set(data), load_scenes(folder)
    for row, pixels in enumerate(images.pixels):  # every pixel of an image is its number
        for name in images.space:
            assert images.labels[name].iloc[row] == pairs.labels[name].iloc[int(pixels[0, 0, 0])], name
    with pytest.raises(ConfigError, match=rf"must hold 5,000 images for this scale; it has {len(pairs)}"):
        load_set(replace(data, n_images=5000))
    with pytest.raises(ConfigError, match="has no factor 'color', which mpi3d-like has"):
        load_set(replace(data, name="mpi3d-like"))


@pytest.mark.slow
def test_a_study_runs_through_resumes_and_says_what_holds(tmp_path):
    study = ALL["mpi3d-selection"]

    def run(present):
        with StudyProgress("test") as progress:
            return run_study(
                study, scale="smoke", out=tmp_path / "out", present=present, command="x", progress=progress, workers=1
            )

    verdict = run("refuse")
    table = pd.read_parquet(tmp_path / "out/table.parquet")
    scores = table[table["taught_by"].eq(CAPTIONS) & table["side"].eq("image") & table["metric"].eq("matthews")]
    assert scores[["floor", "ceiling", "predicted_low", "predicted_high", "reason"]].notna().all(axis=None)
    assert set(table["metric"]) >= {"matthews", "urr", "nats", "cka", "knn1", "knn5", "recall1", "loss", "least loss"}
    assert (tmp_path / "out/figures/selection.svg").is_file()
    assert (tmp_path / "out/page.html").stat().st_size > 20_000
    assert run("resume")["cpu_seconds"] == verdict["cpu_seconds"]
    hidden = table["role"].isin(["omitted", "private"]) & table["taught_by"].eq(CAPTIONS)
    wrong = table.assign(value=np.where(hidden, 0.9, 0.1))
    assert not [claim.statement for claim in study.claims(wrong) if claim.outcome == "holds"]
