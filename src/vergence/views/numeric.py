"""Numeric views: what the encoders of a simulation see in place of an image and a text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vergence.latent.encoding import as_columns, n_columns
from vergence.latent.mixing import Mixing, mlp_mixing
from vergence.latent.model import LatentModel, Latents
from vergence.misalignment import Misalignment
from vergence.random import spawn
from vergence.views.pairs import ViewPair


@dataclass(frozen=True)
class NumericMixings:
    r"""The generating functions of both modalities: $x = g_x(s, m_x)$ and $t = g_t(\tilde s_{I_\theta}, m_t)$.

    Source: [cai2025] Sec. 3.

    Args:
        image: $g_x$, over the columns of all semantics and of the image's own variables.
        text: $g_t$, over the columns of what the text says and of its own variables.
    """

    image: Mixing
    text: Mixing


def draw_mixings(
    model: LatentModel,
    misalignment: Misalignment,
    *,
    generator: torch.Generator,
    draw: Callable[..., Mixing] = mlp_mixing,
) -> NumericMixings:
    """Draw mixings of the sizes that a model and a misalignment need.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions; it sets the size of the text.
        generator: Source of randomness.
        draw: `mlp_mixing`, `orthogonal_mixing`, `flow_mixing` or any function of a size and a generator.

    Raises:
        FactorError: If the misalignment names an unknown factor.
    """
    model.check(misalignment)
    image, text = spawn(generator, 2)
    n_image = n_columns(model.space, model.space.names) + model.n_image_private
    n_text = n_columns(model.space, misalignment.selected, graded=misalignment.graded) + model.n_text_private
    return NumericMixings(draw(n_image, generator=image), draw(n_text, generator=text))


def render(latents: Latents, mixings: NumericMixings) -> ViewPair:
    """Make the two views of each pair: vectors as an encoder sees them.

    Args:
        latents: The pairs.
        mixings: Of the sizes that `draw_mixings` gives for the same model and misalignment.

    Returns:
        Image and text, row by row one pair.

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.latent import orthogonal_mixing
        >>> from vergence.random import generator
        >>> model = LatentModel(FactorSpace((Factor("hue"), Factor("tone"))), n_image_private=1, n_text_private=1)
        >>> bias = Misalignment({"hue"})
        >>> mixings = draw_mixings(model, bias, generator=generator(0), draw=orthogonal_mixing)
        >>> views = render(model.sample(4, bias, generator=generator(1)), mixings)
        >>> views.image.shape, views.text.shape
        (torch.Size([4, 3]), torch.Size([4, 2]))
    """
    semantics = as_columns(latents.semantics, latents.space, latents.space.names)
    said = as_columns(latents.text_semantics, latents.space, latents.selected, graded=latents.graded)
    image = mixings.image(torch.cat([semantics, latents.image_private], dim=1))
    return ViewPair(image=image, text=mixings.text(torch.cat([said, latents.text_private], dim=1)))
