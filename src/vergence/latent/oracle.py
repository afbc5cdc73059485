"""What theory predicts: how well each factor can be told from the unbiased block, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor

from vergence.latent.dependence import Independent
from vergence.latent.encoding import as_columns
from vergence.latent.model import LatentModel, Latents
from vergence.latent.regression import Features, regress
from vergence.latent.shift import Shifted
from vergence.misalignment import Misalignment
from vergence.random import generator as seeded


@dataclass(frozen=True)
class Oracle(Mapping[str, float]):
    """Score of the best predictor of each factor from the unbiased block; `vergence.theory` says when it is told.

    Args:
        scores: By factor, in [0, 1].
        errors: By factor, half-width at about one standard error; 0 where the score is exact.

    Example:
        >>> dict(Oracle({"shape": 1.0}, {"shape": 0.0}))
        {'shape': 1.0}
    """

    scores: Mapping[str, float]
    errors: Mapping[str, float]

    def __getitem__(self, name: str) -> float:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)


def oracle_r2(model: LatentModel, misalignment: Misalignment, *, generator: torch.Generator | None = None) -> Oracle:
    r"""Predict R² of every continuous factor: that of its best predictor from the unbiased block.

    $R^2(s_i \mid s_{I_\theta \setminus I_\rho})$: 1 inside the block, 0 outside if independent, in between otherwise.
    [cai2025] Thm 4.1 read as a prediction; differs: the block is taken as the text writes it down (a factor recorded
    coarsely is known only coarsely). How often the text mentions a factor does not enter: see `record_r2`.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong.
        generator: Source of randomness of the regression, where one is needed; seed 0 if `None`.

    Returns:
        Scores of the continuous factors: in closed form where they and the block are jointly Gaussian or independent;
        otherwise by regression on fresh true latents until more of it gains nothing, with its error. That finds smooth
        functions; one that turns many times within the range of the block it may take for noise.

    Raises:
        FactorError: If the misalignment names an unknown factor.

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.latent import Gaussian
        >>> space = FactorSpace((Factor("hue"), Factor("tone")))
        >>> model = LatentModel(space, Gaussian(torch.tensor([[1.0, 0.6], [0.6, 1.0]])))
        >>> {name: round(r2, 2) for name, r2 in oracle_r2(model, Misalignment({"hue"})).items()}
        {'hue': 1.0, 'tone': 0.36}
    """
    model.check(misalignment)
    targets = {factor.name for factor in model.space.factors if factor.is_continuous}
    exact = _gaussian_r2(model, _block(model, misalignment), targets) | _exact(model, misalignment, targets)
    return _oracle(model, misalignment, targets, exact, _true_block(model, misalignment), generator)


def oracle_matthews(
    model: LatentModel, misalignment: Misalignment, *, generator: torch.Generator | None = None
) -> Oracle:
    """Predict the Matthews correlation of every discrete factor: that of its best predictor given the block.

    The counterpart of `oracle_r2` for discrete factors. Where some values are rare, the most probable value need not
    correlate best: the prediction is the value v of largest p(v) / p₀(v)^a, with p its probability given the block, p₀
    its share in all and a in [0, 1] chosen. For two values that is a threshold on the probability.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong.
        generator: Source of randomness of the classification, where one is needed; seed 0 if `None`.

    Returns:
        Scores of the discrete factors, in [0, 1]; 0 also for one that never varies.

    Raises:
        FactorError: If the misalignment names an unknown factor.
    """
    model.check(misalignment)
    targets = {factor.name for factor in model.space.factors if not factor.is_continuous}
    exact = _exact(model, misalignment, targets)
    return _oracle(model, misalignment, targets, exact, _true_block(model, misalignment), generator)


def record_r2(model: LatentModel, misalignment: Misalignment, *, generator: torch.Generator | None = None) -> Oracle:
    """Bound what any function of the text can tell: R² of each continuous factor from the text's own record.

    Where texts pass over factors or describe other images, this is below `oracle_r2`: the image's encoder may learn
    from many texts what a single text does not say.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong; perturbed factors are read too.
        generator: Source of randomness of the regression; seed 0 if `None`.

    Returns:
        Scores of the continuous factors by regression on fresh latents, with their errors.

    Raises:
        FactorError: If the misalignment names an unknown factor.
    """
    model.check(misalignment)
    targets = {factor.name for factor in model.space.factors if factor.is_continuous}

    def record(latents: Latents) -> Tensor:
        return as_columns(latents.text_semantics, latents.space, latents.selected, graded=latents.graded)

    return _oracle(model, misalignment, targets, {}, record, generator)


def _block(model: LatentModel, misalignment: Misalignment) -> list[str]:
    """Unbiased factors, in order."""
    unbiased = (name for name in model.space.names if name in misalignment.unbiased)
    return list(unbiased)


def _exact(model: LatentModel, misalignment: Misalignment, targets: set[str]) -> dict[str, float]:
    """Scores that need no measurement: of what the block holds, what is independent of it and what never varies."""
    block = set(_block(model, misalignment))
    if not block:
        return dict.fromkeys(targets, 0.0)
    scores = dict.fromkeys((targets & block) - set(model.captioning.record), 1.0)
    dependence = model.dependence
    while isinstance(dependence, Shifted):
        dependence = dependence.dependence
    if isinstance(dependence, Independent):
        scores |= dict.fromkeys(targets - block, 0.0)
        scores |= {name: 0.0 for name, row in dependence.probabilities.items() if name in targets and max(row) == 1.0}
    return scores


def _gaussian_r2(model: LatentModel, block: list[str], targets: set[str]) -> dict[str, float]:
    names = model.space.names
    covariance = model.dependence.gaussian_covariance(model.space)
    columns = [names.index(name) for name in block]
    variance = covariance.diagonal()
    if not block or set(block) & set(model.captioning.record) or bool(variance[columns].isnan().any()):
        return {}
    cross = covariance[:, columns]
    explained = (cross * torch.linalg.solve(covariance[columns][:, columns], cross.T).T).sum(dim=1)
    scores = zip(names, (explained / variance).clamp(0, 1).tolist(), strict=True)
    return {name: score for name, score in scores if name in targets and not isnan(score)}


def _true_block(model: LatentModel, misalignment: Misalignment) -> Features:
    block = _block(model, misalignment)

    def features(latents: Latents) -> Tensor:
        written = model.captioning.recorded(latents.semantics, model.space.names, model.space)
        return as_columns(written, model.space, block)

    return features


def _oracle(  # noqa: PLR0917  (private, and every argument is needed)
    model: LatentModel,
    misalignment: Misalignment,
    targets: set[str],
    exact: dict[str, float],
    features: Features,
    generator: torch.Generator | None,
) -> Oracle:
    scores, errors = dict(exact), dict.fromkeys(exact, 0.0)
    unknown = tuple(name for name in model.space.names if name in targets - set(exact))
    if unknown:
        measured = regress(model, misalignment, unknown, features, generator=generator or seeded(0))
        scores |= {name: score for name, (score, _) in measured.items()}
        errors |= {name: error for name, (_, error) in measured.items()}
    order = [name for name in model.space.names if name in targets]
    return Oracle({name: scores[name] for name in order}, {name: errors[name] for name in order})
