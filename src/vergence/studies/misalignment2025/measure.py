"""What a trained run holds: probes of every variable from both sides."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vergence.metrics import MLP, NystroemRidge, matthews_corrcoef, r2_score
from vergence.random import named, spawn
from vergence.studies.misalignment2025.spec import SPACE, RunSpec
from vergence.views.numeric import render
from vergence.views.pairs import ViewPair

Row = dict[str, Any]


@runtime_checkable
class Encoders(Protocol):
    """What can encode one side of one run."""

    def of_run(self, run: int, side: int, views: Tensor) -> Tensor:
        """Encode images (side 0) or texts (side 1) of a run."""


PROBE = NystroemRidge(alphas=(0.1, 0.01), gammas=(0.003, 0.01, 0.03, 0.1, 0.3), n_landmarks=400)
LABELS = {"y1": 3, "y2": 5, "y3": 7, "y4": 9}  # of how many first semantics each is made


def measure(spec: RunSpec, encoders: Encoders, run: int, *, n: int, share: float = 1.0) -> list[Row]:
    """Fit probes on n fresh pairs and score them on n more.

    Args:
        spec: What was trained.
        encoders: The trained encoders.
        run: Which of their runs this is.
        n: Pairs to fit on, and to score on.
        share: How much of the training is done; before the end only the image side is measured.

    Returns:
        One row per variable and side, ready for a table; `outputs` is how many the encoders have at that point.
    """
    model, mixings = spec.model(), spec.mixings()
    halves = []
    for stream in spawn(named(spec.seed, spec.name, "probes"), 2):
        latents = model.sample(n, spec.misalignment, generator=stream)
        halves.append((latents, *_encoded(encoders, run, render(latents, mixings))))
    (fit, *z_fit), (test, *z_test) = halves
    rows: list[Row] = []
    for side, name in enumerate(("image", "text") if share == 1 else ("image",)):
        private = [f"{name}_private"] * fit.image_private.shape[1]
        wanted = [torch.cat([part.semantics, getattr(part, f"{name}_private")], dim=1) for part in (fit, test)]
        scores = r2_score(wanted[1], PROBE.fit(z_fit[side], wanted[0]).predict(z_test[side])).tolist()
        for factor, score in zip([*SPACE, *private], scores, strict=True):
            row: Row = {"side": name, "factor": factor, "role": role(spec, factor), "metric": "r2", "domain": "in"}
            rows.append({**row, "value": score})
    if spec.downstream and share == 1:
        rows += _downstream(spec, encoders, run, n=n)
    return [{**row, "outputs": z_fit[0].shape[1], "share": share} for row in rows]


def label(semantics: Tensor, n_first: int) -> Tensor:
    """A label made of the first semantics: sums of powers, products, waves and decays.

    Source: [cai2025], downstream regression: 1 z², 0.3 z³, 0.5 pairwise and 0.2 triple products, 0.7 (sin + cos),
    0.4 log(1 + |z|), 0.6 exp(-|z|), each summed over the variables, pairs or triples.

    Args:
        semantics: (n, factors).
        n_first: How many variables enter.

    Returns:
        One value per row.
    """
    z = semantics[:, :n_first].double()
    sums = [z.pow(power).sum(1) for power in (1, 2, 3)]
    # Newton's identities: sums over distinct pairs and triples from sums of powers.
    pairs = (sums[0] ** 2 - sums[1]) / 2
    triples = (sums[0] ** 3 - 3 * sums[0] * sums[1] + 2 * sums[2]) / 6
    waves = 0.7 * (z.sin() + z.cos()) + 0.4 * z.abs().log1p() + 0.6 * (-z.abs()).exp()
    return sums[1] + 0.3 * sums[2] + 0.5 * pairs + 0.2 * triples + waves.sum(1)


def two_means(values: Tensor) -> float:
    """Where k-means with two clusters cuts a line: half-way between the means of both sides."""
    threshold = values.mean()
    for _ in range(100):
        moved = (values[values <= threshold].mean() + values[values > threshold].mean()) / 2
        if moved == threshold:
            break
        threshold = moved
    return float(threshold)


def _downstream(spec: RunSpec, encoders: Encoders, run: int, *, n: int) -> list[Row]:
    """Labels from the image's representation, in and out of domain, and from the true unbiased block."""
    mixings = spec.mixings()
    streams = spawn(named(spec.seed, spec.name, "downstream"), 3)
    drawn = [
        spec.model(shifted=shifted).sample(n, spec.misalignment, generator=stream)
        for shifted, stream in zip((False, False, True), streams, strict=True)
    ]
    block = [column for column, name in enumerate(SPACE) if name in spec.misalignment.unbiased]
    measured = [_encoded(encoders, run, render(latents, mixings))[0] for latents in drawn]
    known = [latents.semantics[:, block] for latents in drawn]
    targets = [torch.stack([label(latents.semantics, count) for count in LABELS.values()], 1) for latents in drawn]
    cut = two_means(targets[0][:, 1])
    classes = [(values[:, 1] > cut).long() for values in targets]
    scores: dict[str, list[dict[str, float]]] = {}
    for source, z in (("value", measured), ("ceiling", known)):
        ridge, classifier = PROBE.fit(z[0], targets[0]), MLP().fit(z[0], classes[0])
        scores[source] = [
            dict(zip(LABELS, r2_score(targets[half], ridge.predict(z[half])).tolist(), strict=True))
            | {"y2 class": matthews_corrcoef(classes[half], classifier.predict(z[half]))}
            for half in (1, 2)
        ]
    return [
        {
            "side": "image",
            "factor": name,
            "role": "label",
            "metric": "matthews" if name == "y2 class" else "r2",
            "domain": domain,
            "value": scores["value"][half][name],
            "ceiling": scores["ceiling"][half][name],
        }
        for half, domain in enumerate(("in", "out"))
        for name in (*LABELS, "y2 class")
    ]


def _encoded(encoders: Encoders, run: int, views: ViewPair) -> tuple[Tensor, Tensor]:
    return encoders.of_run(run, 0, views.image), encoders.of_run(run, 1, views.text)


def role(spec: RunSpec, factor: str) -> str:
    """What a factor is to the text of a run: unbiased, perturbed, omitted, or private to one side."""
    bias = spec.misalignment
    if factor not in SPACE:
        return "private"
    if factor not in bias.selected:
        return "omitted"
    return "perturbed" if factor in bias.perturbed else "unbiased"
