"""One run: a captioner trained, decoded and scored, with what it retrieves and what arithmetic on it finds."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from rich.progress import Progress
from torch import Tensor

from vergence.corpus import concept_scores
from vergence.data import load_emoji
from vergence.data.captioned import sentences_stating
from vergence.encoders.generation import beam, greedy, nucleus
from vergence.metrics import arithmetic, bleu, cider, cka, mutual_knn, retrieve, share_interval
from vergence.metrics.arithmetic import METHODS
from vergence.metrics.retrieval import nearest_of_queries, unit_images
from vergence.metrics.scale import unit
from vergence.random import named
from vergence.studies.captioning.expected import BEAM, GREEDY, NUCLEUS, NUCLEUS_SHARE, SAMPLE
from vergence.studies.captioning.sets import CaptionSet, encoder_of, lexicon_of_drawings, load_captions, pooled
from vergence.studies.captioning.spec import CaptionRun
from vergence.studies.study import Result, Row, Tell
from vergence.training.captioner import Captioner, Decoder, train_captioner
from vergence.training.captioner_files import CAPTIONER, save_captioner

NEAREST, DEALT = "nearest image's caption", "captions dealt at random"
"""Baselines: what the most alike training image is captioned; the greedy captions of other test images."""
ARITHMETIC = ("skin_tone", "gender")
BEAM_WIDTH = 3
_SHARES = ("mentioned", "precision", "recall", "wrong")
_EXAMPLES, _HITS, _RESAMPLES = 8, 5, 500
_KS = (1, 5, 10)


def measure_run(run: CaptionRun, *, folder: Path, tell: Tell) -> Result:
    """Train a captioner and measure it on concepts that it has not seen.

    Args:
        run: Which one.
        folder: Gets the captioner, and checkpoints while it trains.
        tell: Is told how many epochs are done.

    Returns:
        Rows with side, factor, metric, value, limits, decoder and chance; and examples.
    """
    data = load_captions(run)
    epochs = run.budget.train.epochs
    tell(0, epochs + 1)

    def told(end: Any) -> Mapping[str, float]:
        tell(end.epoch, epochs + 1)
        return {}

    trained = train_captioner(
        data.tokens[data.train.tolist()],
        [data.captions[row] for row in data.train],
        run.config,
        seed=run.seed,
        image=encoder_of(run.images)[1],
        out=folder,
        resume=True,
        evaluate=told,
        progress=Progress(disable=True),
    )
    save_captioner(folder / CAPTIONER, trained.captioner, about={"run": run.label})
    rows, extras = measured(run, data, trained.captioner)
    last = trained.history.iloc[-1].drop("epoch").to_dict()
    rows.append({"side": "training", "metric": "temperature", "value": float(last["temperature"])})
    tell(epochs + 1, epochs + 1)
    return Result(rows, {**extras, "losses": {str(name): float(value) for name, value in last.items()}})


def measured(run: CaptionRun, data: CaptionSet, captioner: Captioner) -> tuple[list[Row], dict[str, Any]]:
    """What a trained captioner says, finds and keeps, and examples of each."""
    seed, test = run.seed, data.test
    tokens = data.tokens[test.tolist()]
    z_image = captioner.encode_images(tokens)
    texts = [data.references[row][place] for row in test for place in range(len(data.references[row]))]
    image_of_text = np.repeat(np.arange(len(test)), [len(data.references[row]) for row in test])
    z_text = captioner.encode_texts(texts)
    first = np.flatnonzero(np.diff(image_of_text, prepend=-1))
    rows, said = _captions(run, data, captioner)
    rows += _alignment(z_image, z_text[first])
    rows += _retrieval(z_image, z_text, image_of_text)
    extras: dict[str, Any] = {"captions": said, "retrieval": _found(data, z_image, z_text[first], texts, first)}
    if data.labels is not None:
        found, answers = _arithmetic(data, captioner, z_image, seed=seed)
        rows += found
        extras["arithmetic"] = answers
    return rows, extras


def decoders(seed: int) -> dict[str, Decoder]:
    """By name; draws follow from the seed."""
    return {
        GREEDY: greedy,
        BEAM: partial(beam, width=BEAM_WIDTH),
        NUCLEUS: partial(nucleus, p=NUCLEUS_SHARE, generator=named(seed, "captioning", NUCLEUS)),
        SAMPLE: partial(nucleus, p=1.0, generator=named(seed, "captioning", SAMPLE)),
    }


def _captions(run: CaptionRun, data: CaptionSet, captioner: Captioner) -> tuple[list[Row], list[Row]]:
    """Scores of what every decoder and every baseline says of some test images, and examples."""
    shown = data.test[_some(len(data.test), run.budget.decoded, seed=run.seed)]
    tokens = data.tokens[shown.tolist()]
    said = {name: captioner.caption(tokens, decoder) for name, decoder in decoders(run.seed).items()}
    order = torch.randperm(len(shown), generator=named(run.seed, "captioning", DEALT)).tolist()
    said[DEALT] = [said[GREEDY][place] for place in order]
    said[NEAREST] = [data.captions[row][0] for row in nearest_rows(data, shown)]
    references = [list(data.references[row]) for row in shown]
    concepts = data.concepts[shown].tolist()
    rows: list[Row] = []
    for name, texts in said.items():
        generator = np.random.default_rng(named(run.seed, "captioning", name).initial_seed())
        for metric, score in (("cider_d", cider(texts, references)), ("bleu_4", bleu(texts, references))):
            low, high = score.interval(generator=generator, clusters=concepts, n_resamples=_RESAMPLES)
            base = {"side": "caption", "decoder": name, "metric": metric}
            rows.append({**base, "value": score.corpus, "low": low, "high": high})
        if data.labels is not None:
            rows += _stated(name, texts, data.labels.iloc[shown], concepts)
    picked = _spread(shown, data)
    examples: list[Row] = [
        {
            "key": data.keys[shown[place]],
            "reference": references[place][0],
            "trained": data.captions[shown[place]][0],
            "labels": {} if data.labels is None else data.labels.iloc[shown[place]].dropna().to_dict(),
            **{name: said[name][place] for name in (GREEDY, BEAM, SAMPLE, NEAREST)},
        }
        for place in picked
    ]
    return rows, examples


def nearest_rows(data: CaptionSet, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Of each image the training image whose mean token is most alike, as the cosine about the training mean."""
    held = pooled(data.tokens[data.train.tolist()])
    center = held.mean(0)
    asked = pooled(data.tokens[rows.tolist()])
    similar = unit(asked - center) @ unit(held - center).T
    found: Int[np.ndarray, " n"] = data.train[similar.argmax(1).numpy()]
    return found


def _stated(name: str, texts: Sequence[str], labels: pd.DataFrame, concepts: Sequence[str]) -> list[Row]:
    """What captions state rightly of each factor, with what chance would give, and what they state of nothing."""
    scores = concept_scores(texts, labels.reset_index(drop=True), lexicon_of_drawings(load_emoji().space),
                            clusters=concepts).factors  # fmt: skip
    rows: list[Row] = []
    for row in scores.to_dict("records"):
        base = {"side": "caption", "decoder": name, "factor": row["factor"], "n": int(row["images"])}
        for share in _SHARES:
            limits = {end: _number(row[f"{share}_{end}"]) for end in ("low", "high")}
            chance = _number(row.get(f"chance_{share}"))
            rows.append({**base, "metric": share, "value": _number(row[share]), **limits, "chance": chance})
        rows.append({**base, "metric": "unasked", "value": _number(row["unasked"])})
    return rows


def _alignment(z_image: Float[Tensor, "n queries dim"], z_text: Float[Tensor, "n dim"]) -> list[Row]:
    """How alike images are, by the query that matches their caption best, and captions, one of each image."""
    images, texts = unit_images(z_image, z_text)
    cosines = torch.einsum("nqd,nd->nq", images, texts)
    best, which = cosines.max(1)
    z = images[torch.arange(len(images)), which]
    mean = unit(images.mean(1))
    values = {
        "cosine": float(best.mean()),
        "cka": cka(z, texts),
        "cka of the mean query": cka(mean, texts),
        **{f"mutual_knn@{k}": mutual_knn(z, texts, k=k) for k in (1, 5) if k < len(z)},
    }
    return [{"side": "both", "metric": name, "value": float(value)} for name, value in values.items()]


def _retrieval(z_image: Tensor, z_text: Tensor, image_of_text: Int[np.ndarray, " texts"]) -> list[Row]:
    """Recall both ways, every caption of every test image in the gallery."""
    found = retrieve(z_image, z_text, image_of_text=torch.from_numpy(image_of_text))
    rows: list[Row] = []
    for name, ranks, of_query in (
        ("image", found.image_retrieval, image_of_text),
        ("text", found.text_retrieval, np.arange(len(z_image))),
    ):
        for k in _KS:
            hits = ranks.hits(k)
            low, high = share_interval(hits, torch.from_numpy(of_query.astype(np.int64)))
            metric = f"{name} retrieval recall@{k}"
            rows.append({"side": "both", "metric": metric, "value": float(hits.mean()), "low": low, "high": high})
    return rows


def _arithmetic(
    data: CaptionSet, captioner: Captioner, z_image: Float[Tensor, "n queries dim"], *, seed: int
) -> tuple[list[Row], list[Row]]:
    """Whether image + text(target) - text(source) finds the same concept with only that factor changed."""
    assert data.labels is not None
    space, labels = load_emoji().space, data.labels.iloc[data.test].reset_index(drop=True)
    phrases = [(name, str(value)) for name in ARITHMETIC for value in space[name].values or ()]
    directions = torch.stack([unit(captioner.encode_texts(sentences_stating(*phrase))).mean(0) for phrase in phrases])
    found = arithmetic(z_image, directions, phrases, labels, data.concepts[data.test].tolist())
    rows: list[Row] = []
    for row in found.table().to_dict("records"):
        base = {"side": "both", "factor": row["factor"], "decoder": row["method"], "n": int(row["queries"])}
        for metric in ("recall@1", "recall@5", "unchanged", "value_only"):
            limits = {end: _number(row[f"{metric}_{end}"]) for end in ("low", "high")}
            name = f"arithmetic {metric}"
            rows.append({**base, "metric": name, "value": _number(row[metric]), **limits})
        rows.append({**base, "metric": "arithmetic median rank", "value": _number(row["median_rank"])})
    asked = found.queries[found.queries["method"] == METHODS[0]]
    answers: list[Row] = []
    for _, part in asked.groupby("factor", sort=False):
        for hit in (1.0, 0.0):
            answers += [
                {
                    "factor": row["factor"], "source": row["source"], "target": row["target"],
                    "key": data.keys[data.test[row["item"]]], "found": data.keys[data.test[row["nearest"][0]]],
                    "right": bool(hit),
                }
                for row in part[part["recall@1"] == hit].iloc[:: max(1, len(part) // 16)].head(4).to_dict("records")
            ]  # fmt: skip
    return rows, answers


def _found(
    data: CaptionSet, z_image: Tensor, z_text: Tensor, texts: Sequence[str], first: Int[np.ndarray, " n"]
) -> list[Row]:
    """What a few captions find first."""
    asked = _spread(data.test, data)
    images, queries = unit_images(z_image, z_text[asked])
    order = nearest_of_queries(queries, images).argsort(1, descending=True)[:, :_HITS].tolist()
    return [
        {
            "query": texts[first[place]],
            "own": data.keys[data.test[place]],
            "hits": [data.keys[data.test[row]] for row in hits],
        }
        for place, hits in zip(asked, order, strict=True)
    ]


def _spread(rows: Int[np.ndarray, " n"], data: CaptionSet) -> list[int]:
    """Places of a few images: half of them with a tone where labels tell, the rest of any kind."""
    n = min(_EXAMPLES, len(rows))
    if data.labels is None:
        return list(range(n))
    toned = np.flatnonzero(data.labels.iloc[rows]["skin_tone"].notna().to_numpy())
    others = np.setdiff1d(np.arange(len(rows)), toned)
    parts = (part[:: max(1, len(part) // max(1, n // 2))][: n // 2] for part in (toned, others))
    return [int(place) for part in parts for place in part]


def _some(n: int, most: int, *, seed: int) -> Int[np.ndarray, " _"]:
    """So many of n places, in order."""
    chosen = torch.randperm(n, generator=named(seed, "captioning", "decoded"))[:most]
    return np.sort(chosen.numpy())


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
