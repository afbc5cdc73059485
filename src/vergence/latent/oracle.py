"""What theory predicts: how well each factor can be told from the unbiased block, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vergence.latent.dependence import Independent
from vergence.latent.encoding import as_columns
from vergence.latent.model import LatentModel, Latents
from vergence.latent.regression import Features, regress
from vergence.misalignment import Misalignment
from vergence.random import generator as seeded


@dataclass(frozen=True)
class Oracle(Mapping[str, float]):
    """Predicted score of each factor, and for which output size the prediction holds.

    Args:
        scores: By factor, in [0, 1].
        errors: By factor, half-width at about one standard error; 0 where the score is exact.
        size: Number of unbiased factors, the output size that [cai2025] Thm 4.1 speaks of.

    Example:
        >>> Oracle({"shape": 1.0}, {"shape": 0.0}, 1).status(32)
        'not determined'
    """

    scores: Mapping[str, float]
    errors: Mapping[str, float]
    size: int

    def __getitem__(self, name: str) -> float:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def status(self, output_size: int) -> str:
        """What theory says at an output size: the scores; a part of the block; or nothing."""
        if output_size == self.size:
            return "determined"
        return "not determined" if output_size > self.size else f"at most {output_size} dimensions of the block"


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
        Scores of the continuous factors: in closed form if the variables are jointly Gaussian or independent; otherwise
        by regression on fresh true latents until it has converged, with its error.

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
    exact = _exact(model, misalignment, targets)
    covariance = model.dependence.gaussian_covariance(model.space)
    coarse = misalignment.unbiased & set(model.captioning.record)
    if covariance is not None and not coarse:
        exact |= _gaussian_r2(covariance, model, misalignment)
    return _oracle(model, misalignment, targets, exact, _true_block(model, misalignment), generator)


def oracle_matthews(
    model: LatentModel, misalignment: Misalignment, *, generator: torch.Generator | None = None
) -> Oracle:
    """Predict the Matthews correlation of every discrete factor: that of its most probable value given the block.

    The counterpart of `oracle_r2` for discrete factors.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong.
        generator: Source of randomness of the classification, where one is needed; seed 0 if `None`.

    Returns:
        Scores of the discrete factors, in [0, 1]; 0 also where one value is always the most probable.

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


def _exact(model: LatentModel, misalignment: Misalignment, targets: set[str]) -> dict[str, float]:
    """Scores that need no measurement: of what the block holds, and of what is independent of everything."""
    held = (targets & misalignment.unbiased) - set(model.captioning.record)
    scores = dict.fromkeys(held, 1.0)
    if isinstance(model.dependence, Independent):
        scores |= dict.fromkeys(targets - misalignment.unbiased, 0.0)
    return scores


def _gaussian_r2(covariance: Tensor, model: LatentModel, misalignment: Misalignment) -> dict[str, float]:
    names = model.space.names
    block = [column for column, name in enumerate(names) if name in misalignment.unbiased]
    cross = covariance[:, block]
    explained = (cross * torch.linalg.solve(covariance[block][:, block], cross.T).T).sum(dim=1)
    scores = (explained / covariance.diagonal()).clamp(0, 1).tolist()
    return {name: 1.0 if name in misalignment.unbiased else score for name, score in zip(names, scores, strict=True)}


def _true_block(model: LatentModel, misalignment: Misalignment) -> Features:
    block = [name for name in model.space.names if name in misalignment.unbiased]

    def features(latents: Latents) -> Tensor:
        written = model.captioning.recorded(latents.semantics, model.space.names)
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
    size = len(misalignment.unbiased)
    return Oracle({name: scores[name] for name in order}, {name: errors[name] for name in order}, size)
