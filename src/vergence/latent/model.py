"""The latent variable model of image-text pairs: semantics, what the text says of them, and what only one side has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vergence.checks import at_least, finite, positive_definite, same_shape
from vergence.errors import ConfigError, ShapeError
from vergence.factors import FactorSpace
from vergence.latent.captioning import Captioning, mentioned
from vergence.latent.dependence import Dependence, Independent, correlated_normal
from vergence.latent.perturbation import check_channels, perturb
from vergence.misalignment import Misalignment
from vergence.random import spawn

Streams = tuple[torch.Generator, ...]


@dataclass(frozen=True, eq=False)
class Latents:
    """Latent variables of pairs; row by row, one pair.

    Args:
        space: The semantic factors, in the order of the columns.
        selected: Those that the text may speak of, in the order of the space.
        graded: Those of them that a text may pass over.
        semantics: What is the case: real numbers, and positions of values for discrete factors.
        text_semantics: What the text says is the case, in the same columns; NaN where it says nothing.
        image_private: What only the image has.
        text_private: What only the text has.
        mismatched: Which texts describe another image.
    """

    space: FactorSpace
    selected: tuple[str, ...]
    graded: frozenset[str]
    semantics: Float[Tensor, "n factors"]
    text_semantics: Float[Tensor, "n factors"]
    image_private: Float[Tensor, "n image_private"]
    text_private: Float[Tensor, "n text_private"]
    mismatched: Bool[Tensor, " n"]

    def __post_init__(self) -> None:
        same_shape(semantics=self.semantics, text_semantics=self.text_semantics)
        if self.semantics.shape[1] != len(self.space):
            raise ShapeError(f"semantics have {self.semantics.shape[1]} columns for {len(self.space)} factors")

    def __len__(self) -> int:
        return len(self.semantics)

    def __getitem__(self, rows: slice | Tensor) -> "Latents":
        """The pairs at some rows."""
        tensors = {
            part.name: getattr(self, part.name)[rows]
            for part in fields(self)
            if isinstance(getattr(self, part.name), Tensor)
        }
        return replace(self, **tensors)

    def column(self, name: str) -> Float[Tensor, " n"]:
        """What is the case for one factor.

        Raises:
            FactorError: If the factor is unknown.
        """
        return self.semantics[:, self.space.names.index(self.space[name].name)]


@dataclass(frozen=True, eq=False)
class LatentModel:
    r"""Pairs $(s, m_x, m_t)$ and the text's record of $s$, under any misalignment.

    Source: [cai2025] Sec. 3. The image holds all semantics; the text holds $\tilde s_{I_\theta}$. Differs: texts may
    mention a factor by chance, as the misalignment says, and mismatch, invent and write coarsely (`captioning`), none
    of which the paper has.

    Args:
        space: The semantic factors.
        dependence: Joint distribution of the semantics.
        n_image_private: Number of standard normal variables that only the image has.
        n_text_private: The same for the text.
        captioning: How what a text has to say comes to stand in it.
        image_private_covariance: Covariance of the image's own variables; the identity if `None`.
        text_private_covariance: The same for the text.

    Raises:
        ConfigError: If a number is negative, or a covariance is not positive definite.
        VergenceError: If dependence or captioning do not fit the space.

    Example:
        >>> from vergence import Factor
        >>> from vergence.random import generator
        >>> space = FactorSpace(tuple(Factor(name) for name in ("shape", "size", "tone")))
        >>> model = LatentModel(space, n_image_private=2, n_text_private=1)
        >>> latents = model.sample(4, Misalignment({"shape", "size"}, {"size"}), generator=generator(0))
        >>> bool((latents.text_semantics[:, 0] == latents.semantics[:, 0]).all())  # unbiased: copied exactly
        True
        >>> latents.text_semantics[:, 2].isnan().all().item()  # omitted
        True
    """

    space: FactorSpace
    dependence: Dependence = field(default_factory=Independent)
    n_image_private: int = 5
    n_text_private: int = 5
    captioning: Captioning = field(default_factory=Captioning)
    image_private_covariance: Float[Tensor, "image_private other"] | None = None
    text_private_covariance: Float[Tensor, "text_private other"] | None = None

    def __post_init__(self) -> None:
        at_least("n_image_private", self.n_image_private, 0)
        at_least("n_text_private", self.n_text_private, 0)
        self.dependence.check(self.space)
        self.captioning.check(self.space)
        for side, count, covariance in (
            ("image", self.n_image_private, self.image_private_covariance),
            ("text", self.n_text_private, self.text_private_covariance),
        ):
            if covariance is not None:
                positive_definite(f"{side}_private_covariance", covariance.numpy(force=True))
                if len(covariance) != count:
                    raise ConfigError(
                        f"{side}_private_covariance has {len(covariance)} rows; n_{side}_private is {count}"
                    )

    def sample(self, n: int, misalignment: Misalignment, *, generator: torch.Generator) -> Latents:
        """Draw pairs.

        From one state of the generator, the image's variables are the same under every misalignment.

        Args:
            n: How many pairs, at least 1.
            misalignment: What the text mentions and what of it may be wrong.
            generator: Source of randomness.

        Returns:
            The latent variables, in the default float type.

        Raises:
            FactorError: If the misalignment names an unknown factor, or one that cannot be perturbed so.
        """
        at_least("n", n, 1)
        self.check(misalignment)
        return self._drawn(n, misalignment, spawn(generator, 4))

    def stream(self, batch_size: int, misalignment: Misalignment, *, generator: torch.Generator) -> Iterator[Latents]:
        """Draw batches for ever. The streams are split once and drawn from on, so that no pair comes twice.

        Args:
            batch_size: Pairs per batch.
            misalignment: What the text mentions and what of it may be wrong.
            generator: Source of randomness; what is drawn from it later does not change the batches.

        Raises:
            ConfigError: If the batch size is below 1; at once, as for the misalignment.
            FactorError: If the misalignment names an unknown factor, or one that cannot be perturbed so.
        """
        at_least("batch_size", batch_size, 1)
        self.check(misalignment)
        return self._batches(batch_size, misalignment, spawn(generator, 4))

    def _batches(self, n: int, misalignment: Misalignment, streams: Streams) -> Iterator[Latents]:
        while True:
            yield self._drawn(n, misalignment, streams)

    def sampler(
        self, misalignment: Misalignment, *, generator: torch.Generator
    ) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        """What draws semantics and what texts say of them, as `vergence.theory.spectrum` takes it.

        Args:
            misalignment: What the text mentions and what of it may be wrong.
            generator: Source of randomness.

        Returns:
            From a number of pairs to two arrays (n, factors); NaN where a text is silent.

        Raises:
            FactorError: If the misalignment names an unknown factor, or one that cannot be perturbed so.
        """
        self.check(misalignment)

        def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
            latents = self.sample(n, misalignment, generator=generator)
            return latents.semantics.numpy(force=True), latents.text_semantics.numpy(force=True)

        return draw

    def _drawn(self, n: int, misalignment: Misalignment, streams: Streams) -> Latents:
        semantics_stream, image_stream, text_stream, record_stream = streams
        semantics = self.dependence.sample(self.space, n, generator=semantics_stream)
        finite(semantics=semantics)
        selected = tuple(name for name in self.space.names if name in misalignment.selected)
        record, mismatched = self._record(semantics, selected, misalignment, generator=record_stream)
        return Latents(
            space=self.space,
            selected=selected,
            graded=misalignment.graded,
            semantics=semantics,
            text_semantics=record,
            image_private=_private(n, self.n_image_private, self.image_private_covariance, generator=image_stream),
            text_private=_private(n, self.n_text_private, self.text_private_covariance, generator=text_stream),
            mismatched=mismatched,
        )

    def check(self, misalignment: Misalignment) -> None:
        """Require that this model can draw the misalignment.

        Raises:
            VergenceError: If a factor is unknown, or its rate or channel does not fit it.
        """
        misalignment.check(self.space)
        check_channels(self.space, misalignment.channels)

    def _record(
        self, semantics: Tensor, selected: tuple[str, ...], misalignment: Misalignment, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """What each text says: describe an image, get factors wrong, mention some, write them down, invent others."""
        n, names = len(semantics), self.space.names
        which, other, wrong, redrawn, mention, invent, invented = spawn(generator, 7)
        fresh = partial(self.dependence.sample, self.space, n)

        described, mismatched = semantics, torch.zeros(n, dtype=torch.bool)
        if self.captioning.mismatch:
            mismatched = torch.rand(n, generator=which) < self.captioning.mismatch
            described = torch.where(mismatched[:, None], fresh(generator=other), semantics)

        record = described.clone()
        channels = {name: misalignment.channels[name] for name in names if name in misalignment.channels}
        if channels:
            columns = [names.index(name) for name in channels]
            record[:, columns] = perturb(
                described[:, columns],
                self.space,
                channels,
                lambda: fresh(generator=redrawn)[:, columns],
                generator=wrong,
            )

        columns = [names.index(name) for name in selected]
        written = self.captioning.recorded(record[:, columns], selected, self.space)
        if misalignment.graded:
            rates = {name: misalignment.mention[name] for name in selected}
            spoken = mentioned(described[:, columns], rates, generator=mention)
            stated = torch.where(spoken, written, torch.nan)
            if self.captioning.invention:
                added = ~spoken & (torch.rand(written.shape, generator=invent) < self.captioning.invention)
                elsewhere = self.captioning.recorded(fresh(generator=invented)[:, columns], selected, self.space)
                stated = torch.where(added, elsewhere, stated)
            written = stated

        text = torch.full_like(semantics, torch.nan)
        text[:, columns] = written
        return text, mismatched


def _private(n: int, count: int, covariance: Tensor | None, *, generator: torch.Generator) -> Tensor:
    if covariance is None or not count:
        return torch.randn(n, count, generator=generator)
    return correlated_normal(n, covariance, generator=generator)
