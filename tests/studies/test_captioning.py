"""Studies of captioning: predictions in closed form, what claims read off a table, and a whole quick study."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.cli.main import main
from vergence.corpus.matching import Matcher
from vergence.data import load_emoji, load_emoji_tags
from vergence.data.captioned import EACH, caption_five
from vergence.errors import ConfigError, ShapeError
from vergence.factors import Factor
from vergence.misalignment import Misalignment
from vergence.studies.captioning import STUDIES, arithmetic, beta, channel
from vergence.studies.captioning.expected import DECODERS, GREEDY, NUCLEUS, SAMPLE, expected, through_reader
from vergence.studies.captioning.sets import lexicon_of_drawings, load_captions
from vergence.studies.captioning.spec import SMOKE, CaptionRun, Images
from vergence.studies.captioning.study import through_eyes
from vergence.studies.registry import STUDIES as EVERY
from vergence.studies.run import strict, verdict_of
from vergence.studies.table import judged

TONE = Factor("skin_tone", ("light", "medium-light", "medium", "medium-dark", "dark"))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("mention", [0.0, 0.2, 0.6, 0.96, 1.0])
@pytest.mark.parametrize("redraw", [0.0, 0.5, 0.9])
def test_predictions_are_those_of_every_caption_counted(decoder: str, mention: float, redraw: float) -> None:
    """The distribution of whole captions, written out: silence, or one of the values; the decoder as defined."""
    said = expected(TONE, mention, redraw, decoder)
    values = np.full(5, redraw / 5)
    values[0] += 1 - redraw
    if decoder == GREEDY:
        speaks, right = float(mention > 0.5), 1.0
    else:
        share = 1.0 if decoder == SAMPLE else 0.9
        speaks, right = _drawn(np.array([mention, 1 - mention]), share)[0], _drawn(values, share)[0]
    assert said.mentioned == pytest.approx(speaks)
    if mention:
        assert said.precision == pytest.approx(right)


def _drawn(probabilities: np.ndarray, share: float) -> np.ndarray:
    kept, total = np.zeros_like(probabilities), 0.0
    for place in np.argsort(-probabilities, kind="stable"):
        if total < share - 1e-9:
            kept[place] = probabilities[place]
        total += probabilities[place]
    return kept / kept.sum()


def test_what_decides_nothing_is_not_predicted() -> None:
    assert np.isnan(expected(TONE, 0.5, 0.0, GREEDY).mentioned)
    assert expected(TONE, 0.5, 0.0, SAMPLE).mentioned == 0.5
    assert np.isnan(expected(TONE, 1.0, 1.0, GREEDY).precision)


def test_a_reader_that_errs_is_passed_on_by_the_mode_and_mixed_by_draws() -> None:
    assert through_reader(TONE, 0.9, GREEDY, faithful=0.7) == 0.7
    assert through_reader(TONE, 0.5, SAMPLE, faithful=1.0) == pytest.approx(0.6)
    assert through_reader(TONE, 0.5, SAMPLE, faithful=0.2) == pytest.approx(0.2)  # who knows nothing stays at chance
    assert through_reader(TONE, 0.9, NUCLEUS, faithful=1.0) == pytest.approx(expected(TONE, 1, 0.9, NUCLEUS).precision)


def test_five_captions_state_what_they_record_and_nothing_else() -> None:
    emoji, tags = load_emoji(), load_emoji_tags()
    rows = np.arange(0, len(emoji), 9)
    some, own = emoji.take(rows), [tags[row] for row in rows]
    bias = Misalignment.of_rates({"skin_tone": 0.5, "gender": 0.8, "group": 1.0}, redraw={"skin_tone": 0.5})
    told = caption_five(some, own, bias, seed=3)
    lexicon = lexicon_of_drawings(emoji.space)
    names = [(group.name, concept.name) for group in lexicon.groups for concept in group.concepts]
    texts = [text for five in told.texts for text in five]
    for found, said in zip(Matcher(lexicon).mentions(texts).sets(), told.said.to_dict("records"), strict=True):
        assert {names[k] for k in found} == {(name, value) for name, value in said.items() if isinstance(value, str)}
    assert all(len(set(five)) == EACH for five in told.texts)
    with pytest.raises(ShapeError, match="tags must be given for each drawing"):
        caption_five(some, own[1:], bias, seed=3)


def test_what_is_omitted_leaves_no_trace_in_captions() -> None:
    emoji, tags = load_emoji(), load_emoji_tags()
    rows = [row for row, concept in enumerate(emoji.clusters) if concept == "farmer"]
    told = caption_five(emoji.take(rows), [tags[row] for row in rows], Misalignment({"group", "subgroup"}), seed=0)
    by_family = [{tuple(text.split()[:-1]) for text in family} for family in zip(*told.texts, strict=True)]
    assert all(len(words) == 1 for words in by_family)  # but for the last word, a tag that all forms share


def test_concepts_are_trained_held_out_or_tested() -> None:
    run = CaptionRun(images=Images(concepts=120), seed=1, budget=SMOKE.budget)
    data = load_captions(run)
    parts = [set(data.concepts[rows]) for rows in (data.train, data.held_out, data.test)]
    assert all(parts)
    assert not (parts[0] & parts[1])
    assert not (parts[0] & parts[2])
    assert not (parts[1] & parts[2])
    assert len(data.train) + len(data.held_out) + len(data.test) == len(data.concepts) == len(data.tokens)


def test_runs_are_shared_by_what_they_are() -> None:
    runs = {study.name: study.runs_of(study.at("cpu"), 3, Images(digest="x")) for study in STUDIES}
    digests = {name: {json.dumps(run.key(), sort_keys=True) for run in own} for name, own in runs.items()}
    assert len(digests["captioning-channel"] & digests["arithmetic"]) == len(runs["captioning-channel"])
    assert len(digests["captioning-beta"] & digests["captioning-channel"]) == 3  # faithful ones
    assert all(EVERY[study.name] is study for study in STUDIES)
    labels = [run.label for own in runs.values() for run in set(own)]
    assert len(set(labels)) == len({run for own in runs.values() for run in own})


def test_a_pretrained_encoder_must_be_named() -> None:
    with pytest.raises(ConfigError, match="vergence model conse --out DIR"):
        beta.STUDY.runs("cpu", 1)
    with pytest.raises(ConfigError, match="no folder of a pretrained image encoder"):
        replace(beta.STUDY, encoder="nowhere").runs("cpu", 1)
    with pytest.raises(ConfigError, match="needs to know what images show"):
        channel.STUDY.on(encoder=None, coco=Path("coco"), cache=Path("features"))


def _beta_table(*, gain: float, seeds: int = 8, recall: float = 0.8) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for bottleneck, contrast in ((0.0, 1.0), (0.1, 1.0), (0.0, 0.0)):
            base = {
                "run": f"{bottleneck} {contrast} {seed}", "seed": seed, "bottleneck": bottleneck, "matching": 0.0,
                "contrast": contrast, "factor": None, "decoder": None,
            }  # fmt: skip
            level = 1 + gain * (bottleneck > 0) + 0.01 * generator.normal() - 0.1 * (contrast == 0)
            rows += [{**base, "decoder": GREEDY, "metric": name, "value": level} for name in ("cider_d", "bleu_4")]
            rows.append({**base, "decoder": beta.NEAREST, "metric": "cider_d", "value": 0.7})
            rows.append({**base, "metric": "cka", "value": level})
            for factor in ("group", "gender", "skin_tone"):
                for decoder, value in ((GREEDY, recall), (beta.DEALT, 0.2)):
                    rows.append({**base, "decoder": decoder, "metric": "recall", "factor": factor, "value": value})
    return pd.DataFrame(rows)


def test_the_papers_claims_are_judged_by_the_sign_of_paired_differences() -> None:
    def verdicts(gain: float, seeds: int = 8) -> list[str]:
        found = beta.claims(_beta_table(gain=gain, seeds=seeds))
        return [claim.where.split(":")[0] for claim in found if claim.statement.startswith("β = .1 raises CIDEr:")]

    assert verdicts(0.1) == ["agree"]
    assert verdicts(-0.1) == ["disagree"]
    assert verdicts(0.0) == ["undecided"]
    assert verdicts(0.1, seeds=1) == ["undecided"]
    assert set(beta.figures(_beta_table(gain=0.1))) == {"claims"}


def test_captions_that_know_nothing_fail_the_bounds() -> None:
    good = [claim.outcome for claim in beta.claims(_beta_table(gain=0.0)) if claim.outcome]
    bad = beta.claims(_beta_table(gain=0.0, recall=0.22))
    assert good == ["holds"] * 5
    assert [claim.outcome for claim in bad if claim.outcome] == ["fails"] * 3 + ["holds"] * 2
    assert all(claim.outcome in (None, "fails") for study in STUDIES for claim in study.claims(pd.DataFrame()))


def _channel_table(*, error: float = 0.0) -> pd.DataFrame:
    """What captioners would say that follow the predictions, but for an error."""
    rows = []
    for seed in range(3):
        for setting in channel.SETTINGS:
            run = CaptionRun(seed=seed, budget=SMOKE.budget, images=Images(), **setting)
            settings = channel.STUDY.settings(run)
            for said in channel.STUDY.predict(run):
                reader = {"mentioned": 0.9, "precision": 0.8}[said["metric"]]
                value = float(said["sure"]) * reader if np.isfinite(said["sure"]) else np.nan
                if said["metric"] == "precision" and np.isfinite(said["sure"]):
                    redraw = settings.get(f"redraw_{said['factor']}", 0.0)
                    factor = load_emoji().space[said["factor"]]
                    value = through_reader(factor, redraw, said["decoder"], faithful=reader)
                if run.captions != "faithful":
                    value = abs(value - error) if error else value
                rows.append({"run": run.label, **settings, **said, "value": value, "ceiling": np.nan})
    return through_eyes(pd.DataFrame(rows))


def test_a_channel_that_is_as_predicted_holds_and_one_that_is_not_fails() -> None:
    good = {claim.statement: claim.outcome for claim in channel.claims(_channel_table()) if claim.outcome}
    bad = {claim.statement: claim.outcome for claim in channel.claims(_channel_table(error=0.95)) if claim.outcome}
    assert set(good.values()) == {"holds"}
    assert set(bad.values()) == {"fails"}
    assert set(channel.figures(_channel_table())) == {"channel"}


def _arithmetic_table(*, recall: float) -> pd.DataFrame:
    rows = []
    for seed in range(3):
        for mention, bottleneck, size in ((1.0, 0.0, 32), (0.0, 0.0, 32), (1.0, 0.1, 32), (1.0, 0.0, 8)):
            base = {
                "run": f"{mention} {bottleneck} {size} {seed}", "seed": seed, "bottleneck": bottleneck,
                "captions": "faithful" if mention else "never", "encoding_size": size, "factor": None, "decoder": None,
                **{f"mention_{name}": mention for name in arithmetic.ARITHMETIC},
                **{f"redraw_{name}": 0.0 for name in arithmetic.ARITHMETIC},
            }  # fmt: skip
            aligned = 0.5 + 0.1 * (bottleneck > 0) + 0.01 * seed - 0.3 * (mention == 0)
            rows.append({**base, "metric": "cka", "value": aligned})
            for factor in arithmetic.ARITHMETIC:
                for method, value in (("arithmetic", recall * aligned), ("text_only", 0.05), ("image_only", 0.1),
                                      ("chance", 0.01)):  # fmt: skip
                    rows.append(
                        {**base, "factor": factor, "decoder": method, "metric": arithmetic.RECALL, "value": value}
                    )
    return pd.DataFrame(rows)


def test_arithmetic_that_finds_nothing_fails_its_bounds() -> None:
    good = arithmetic.claims(_arithmetic_table(recall=0.8))
    assert {claim.outcome for claim in good if claim.outcome} == {"holds"}
    bad = [claim.outcome for claim in arithmetic.claims(_arithmetic_table(recall=-0.02)) if claim.outcome]
    assert bad == ["fails"] * 6
    rises = [claim for claim in good if "alignment (CKA), over all runs" in claim.statement]
    assert all(claim.where.startswith("agree with a rise") for claim in rises)
    assert set(arithmetic.figures(_arithmetic_table(recall=0.8))) == {"alignment"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_smallest_scale_refuses_what_it_would_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out --images and --encoder"):
        beta.STUDY.on(encoder=None, coco=tmp_path, cache=tmp_path).runs("smoke", 1)


@pytest.mark.slow
def test_the_smallest_scale_runs(tmp_path: Path) -> None:
    command = ["study", "run", "captioning-beta", "--scale", "smoke", "--workers", "1", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    rows = pd.read_parquet(tmp_path / "out" / "table.parquet")
    assert {"cider_d", "arithmetic recall@1", "temperature"} <= set(rows["metric"])


RESULTS = Path(__file__).parents[2] / "docs" / "results"
COMMITTED = [study for study in STUDIES if (RESULTS / study.name / "verdict.json").is_file()]


@pytest.mark.parametrize("study", COMMITTED, ids=lambda study: study.name)
def test_the_committed_verdict_is_that_of_the_committed_table(study) -> None:  # type: ignore[no-untyped-def]
    table = pd.read_parquet(RESULTS / study.name / "table.parquet")
    said = json.loads((RESULTS / study.name / "verdict.json").read_text())
    again = strict(verdict_of(study, table))
    assert {key: said[key] for key in again} == again
    assert f"vergence study run {study.name}" in said["command"]
    assert list(judged(table, margin=study.margin)["outcome"]) == list(table["outcome"])


@pytest.mark.parametrize("study", COMMITTED, ids=lambda study: study.name)
def test_no_bounded_claim_survives_a_table_that_refutes_it(study) -> None:  # type: ignore[no-untyped-def]
    """Shares turned around: what was said is not, what was right is wrong, what came first comes last."""
    table = pd.read_parquet(RESULTS / study.name / "table.parquet")
    held = {claim.statement for claim in study.claims(table) if claim.outcome == "holds"}
    turned = table.assign(value=1 - table["value"])
    if study is beta.STUDY:
        score = turned["metric"].isin(["cider_d", "bleu_4"])
        turned.loc[score & turned["contrast"].gt(0) & turned["decoder"].eq(GREEDY), "value"] = -1.0
    if study is channel.STUDY:  # turned around, a tone read at chance would be read well
        turned.loc[turned["metric"].eq("precision") & turned["decoder"].eq(GREEDY), "value"] = 0.0
    kept = {claim.statement for claim in study.claims(turned) if claim.outcome == "holds"}
    assert not held & kept
