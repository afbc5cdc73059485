"""What a trained run holds of each direction: amplitudes, shares, what probes read, and what its loss is."""

from collections.abc import Callable
from math import log, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.factors import Factor
from vergence.latent.model import Latents
from vergence.metrics import MLP, Logistic, NystroemRidge, Ridge, matthews_corrcoef, r2_score
from vergence.random import named
from vergence.studies.misalignment2025.stacked import batched_l2_info_nce
from vergence.studies.spectrum.laws import expected
from vergence.studies.spectrum.spec import RunSpec

Row = dict[str, Any]

PROBE = NystroemRidge(alphas=(0.1, 0.01), gammas=(0.01, 0.03, 0.1, 0.3), n_landmarks=300)


def readings(factor: Factor, record: Float[Tensor, " n"]) -> Float[Tensor, "n directions"]:
    """The linear readings of one factor from a record, uncorrelated and of mean 0 and variance 1 over it.

    A continuous factor has one, its value; one of k values k - 1, the contrasts of its one-hot code, which are
    directions of the channel if values are equally frequent and errors symmetric. Where nothing is said they are 0.
    """
    said = ~record.isnan()
    values = record.nan_to_num()
    if factor.values is None:
        found = (values * said)[:, None]
    else:
        k = len(factor.values)
        found = (torch.nn.functional.one_hot(values.long(), k).to(record.dtype) * said[:, None]) @ contrasts(k)
    found = found - found.mean(0)
    return found / found.square().mean(0).sqrt().clamp_min(1e-9)


def contrasts(k: int) -> Float[Tensor, "k directions"]:
    """Orthonormal vectors that sum to 0."""
    basis: Tensor = torch.linalg.qr(torch.cat([torch.ones(k, 1), torch.eye(k)[:, : k - 1]], 1)).Q
    return basis[:, 1:]


def amplitudes(
    spec: RunSpec,
    latents: Latents,
    z: tuple[Tensor, Tensor],
    *,
    temperature: float,
    unconstrained: Tensor | None = None,
) -> list[Row]:
    r"""Amplitude and share of each factor's linear directions.

    z is regressed on the readings of all factors and of what only its side has; with α and β the vectors of the outputs
    that belong to one direction on both sides, y = 2⟨α, β⟩/τ, what both agree in, is the 2a²/τ of the amplitude
    equation where α = β; where no text speaks of a factor y = 2|α|²/τ. The share is |α|² of the variance of the image's
    representation; on the sphere, where z = Ax / |Ax|, the mean of |A_i|² x_i² / |Ax|², of all such means. Of several
    directions of one factor y is the mean, and the share the sum.

    Args:
        spec: What was trained.
        latents: Pairs.
        z: What the encoders make of them.
        temperature: τ.
        unconstrained: Ax, for unit vectors of linear encoders.

    Returns:
        Rows of factor, metric and value; `image_private` and `text_private` stand for what only one side has, y there
        being the mean; `image_other` for what is linear in none of these.
    """
    place = spec.space.names.index
    shown = {name: readings(spec.space[name], latents.column(name)) for name in spec.space}
    said = {name: readings(spec.space[name], latents.text_semantics[:, place(name)]) for name in latents.selected}
    absent = [(~latents.text_semantics[:, place(name)].isnan()).float()[:, None] for name in sorted(latents.graded)]
    parts = [*shown.values(), latents.image_private]
    image, text = loadings_of(z[0], parts), loadings_of(z[1], [*said.values(), *absent, latents.text_private])
    by_text = dict(zip(said, text, strict=False))
    shares = _shares(z[0], parts, image, unconstrained)
    rows = []
    for name, alpha, share in zip(shown, image, shares, strict=False):
        amplitude = 2 * float((alpha * by_text.get(name, alpha)).sum()) / temperature / len(alpha)
        rows += [_row(name, "y", amplitude), _row(name, "share", share)]
    if spec.n_private:
        for side, own in (("image", image[-1]), ("text", text[-1])):
            rows.append(_row(f"{side}_private", "y", 2 * float(own.square().sum()) / temperature / len(own)))
        rows.append(_row("image_private", "share", shares[len(shown)]))
    return [*rows, _row("image_other", "share", max(0.0, 1 - sum(shares)))]


def _shares(z: Tensor, parts: list[Tensor], loadings: list[Tensor], unconstrained: Tensor | None) -> list[float]:
    if unconstrained is None:
        total = float(z.var(0, correction=0).sum())
        return [float(alpha.square().sum()) / total for alpha in loadings]
    inverse = unconstrained.square().sum(1, keepdim=True).reciprocal()
    maps = loadings_of(unconstrained, parts)
    found = [
        float(((part.square() * inverse).mean(0) * own.square().sum(1)).sum())
        for part, own in zip(parts, maps, strict=True)
    ]
    return [one / sum(found) for one in found]


def loadings_of(z: Tensor, parts: list[Tensor]) -> list[Tensor]:
    """Of each part's columns, the vectors of outputs that belong to them by least squares."""
    design = torch.cat(parts, 1).double()
    design, wanted = design - design.mean(0), (z - z.mean(0)).double()
    solved = torch.linalg.lstsq(design, wanted, driver="gelsd").solution
    return list(solved.split([part.shape[1] for part in parts]))


def _row(factor: str, metric: str, value: float) -> Row:
    return {"side": "image", "factor": factor, "metric": metric, "value": value}


def measured(
    spec: RunSpec,
    encode: Callable[[int, Tensor], Tensor],
    *,
    n: int,
    temperature: float,
    unconstrained: Callable[[int, Tensor], Tensor] | None = None,
) -> list[Row]:
    """Everything that is measured of a run, on fresh pairs.

    Args:
        spec: What was trained.
        encode: Encodes images (side 0) or texts (side 1).
        n: Pairs; probes are fitted on one half and scored on the other.
        temperature: τ at the end.
        unconstrained: Encodes without the constraint, for unit vectors.
    """
    seen = named(spec.seed, spec.name, "measured")
    latents = spec.model.sample(n, spec.misalignment, generator=seen)
    views = spec.rendered(latents)
    z = (encode(0, views[0]), encode(1, views[1]))
    raw = unconstrained(0, views[0]) if unconstrained is not None and spec.constraint == "unit" else None
    rows = amplitudes(spec, latents, z, temperature=temperature, unconstrained=raw)
    rows.append(_row("all", "temperature", temperature))
    if spec.encoders == "deep":
        rows += _quadratics(spec, latents, z[0]) + _losses(spec, latents, z)
    if spec.encoders == "deep" or spec.question == "pairs":
        rows += _probed(spec, latents, z[0])
    return rows


def _quadratics(spec: RunSpec, latents: Latents, z: Tensor) -> list[Row]:
    """Shares of the second-order functions of continuous factors: x² - 1 of each, and all products."""
    if spec.n_values is not None:
        return []
    x = latents.semantics
    squares = {f"{name}²": (x[:, i : i + 1].square() - 1) / sqrt(2) for i, name in enumerate(spec.space)}
    pairs = torch.triu_indices(x.shape[1], x.shape[1], 1)
    products = x[:, pairs[0]] * x[:, pairs[1]]
    found = loadings_of(z, [x, latents.image_private, *squares.values(), products])[2:]
    total = float(z.var(0, correction=0).sum())
    return [
        _row(name, "share", float(one.square().sum()) / total)
        for name, one in zip([*squares, "products"], found, strict=True)
    ]


def _losses(spec: RunSpec, latents: Latents, z: tuple[Tensor, Tensor]) -> list[Row]:
    """The loss of the representation, and of one that holds the linear readings as the law says."""
    law = expected(spec).set_index("factors")
    ideal: list[list[Tensor]] = [[], []]
    for i, name in enumerate(spec.space):
        row = law.loc[[(name,)]].iloc[0]
        if not row["y"] > 0 or name not in latents.selected:
            continue
        amplitude = sqrt(row["y"] * spec.temperature / 2)
        for side, record in enumerate((latents.semantics[:, i], latents.text_semantics[:, i])):
            ideal[side].append(amplitude * readings(spec.space[name], record)[:, : max(1, round(row["kept"]))])
    sides = [torch.cat(columns, 1) for columns in ideal]
    return [
        _row("all", "loss", _loss(spec, z)),
        _row("all", "loss of the law", _loss(spec, (sides[0], sides[1]))),
    ]


def _loss(spec: RunSpec, z: tuple[Tensor, Tensor]) -> float:
    """Mean over batches of the run's size, above that of a constant representation."""
    batches = [
        slice(start, start + spec.batch_size) for start in range(0, len(z[0]) - spec.batch_size + 1, spec.batch_size)
    ]
    losses = [batched_l2_info_nce(z[0][None, rows], z[1][None, rows], temperature=spec.temperature) for rows in batches]
    return float(torch.stack(losses).mean()) - log(spec.batch_size)


def _probed(spec: RunSpec, latents: Latents, z: Tensor) -> list[Row]:
    """What probes read: a linear one, and one that is not."""
    half = len(z) // 2
    fit, test = slice(0, half), slice(half, None)
    rows = []
    if spec.n_values is None:
        probes: dict[str, Ridge | NystroemRidge] = {"r2_linear": Ridge()}
        if spec.encoders == "deep":
            probes["r2"] = PROBE
        for metric, probe in probes.items():
            read = probe.fit(z[fit], latents.semantics[fit]).predict(z[test])
            scores = r2_score(latents.semantics[test], read).tolist()
            rows += [_row(name, metric, score) for name, score in zip(spec.space, scores, strict=True)]
        return rows
    for name in spec.space:
        labels = latents.column(name).long()
        read = Logistic().fit(z[fit], labels[fit]).predict(z[test])
        rows.append(_row(name, "matthews_linear", float(matthews_corrcoef(labels[test], read))))
        read = MLP(max_epochs=60).fit(z[fit], labels[fit]).predict(z[test])
        rows.append(_row(name, "matthews", float(matthews_corrcoef(labels[test], read))))
    return rows
