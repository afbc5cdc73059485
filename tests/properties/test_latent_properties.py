"""What holds for every misalignment of every model."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import AdditiveNoise, LabelSwap
from vergence.latent import (
    Captioning,
    LatentModel,
    flow_mixing,
    linear_equations,
    mlp_mixing,
    nonlinear_equations,
    oracle_r2,
    orthogonal_mixing,
    random_graph,
)
from vergence.random import generator
from vergence.views.numeric import draw_mixings, render

NAMES = ("hue", "size", "tone", "shape", "pose")
SPACE = FactorSpace(tuple(Factor(name, ("cube", "ball", "cone") if name == "shape" else None) for name in NAMES))
CONTINUOUS = FactorSpace(tuple(Factor(name) for name in NAMES))
NOISE = {name: LabelSwap(0.5) if name == "shape" else AdditiveNoise(0.5) for name in NAMES}


@st.composite
def misalignments(draw: st.DrawFn) -> Misalignment:
    selected = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    kept = draw(st.sampled_from(sorted(selected)))
    wrong = draw(st.sets(st.sampled_from(sorted(selected)))) - {kept}
    return Misalignment.of_rates(dict.fromkeys(selected, 1.0), channels={name: NOISE[name] for name in wrong})


def causal_model(seed: int, captioning: Captioning | None = None) -> LatentModel:
    graph = random_graph(SPACE, edge_probability=0.5, generator=generator(seed))
    equations = nonlinear_equations(SPACE, graph, generator=generator(seed + 1))
    return LatentModel(SPACE, equations, 2, 2, captioning or Captioning())


@given(misalignments(), st.integers(0, 1_000))
def test_perturbing_the_text_changes_neither_the_image_nor_effects_of_the_factor(bias: Misalignment, seed: int) -> None:
    model, faithful = causal_model(seed), Misalignment(NAMES)
    biased, plain = (model.sample(32, b, generator=generator(seed)) for b in (bias, faithful))
    assert torch.equal(biased.semantics, plain.semantics)
    assert torch.equal(biased.image_private, plain.image_private)
    assert torch.equal(biased.text_private, plain.text_private)
    for name in bias.unbiased:  # effects of what was perturbed among them
        column = NAMES.index(name)
        assert torch.equal(biased.text_semantics[:, column], plain.text_semantics[:, column])


@given(misalignments(), st.integers(0, 1_000))
def test_an_unbiased_factor_arrives_bit_for_bit_and_an_omitted_one_not_at_all(bias: Misalignment, seed: int) -> None:
    latents = causal_model(seed).sample(32, bias, generator=generator(seed))
    for column, name in enumerate(NAMES):
        if name in bias.unbiased:
            assert torch.equal(latents.text_semantics[:, column], latents.semantics[:, column])
        elif name not in bias.selected:
            assert latents.text_semantics[:, column].isnan().all()


@given(misalignments(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 1_000))
def test_views_are_finite_whatever_captions_leave_out(
    bias: Misalignment, mention: float, mismatch: float, invention: float, seed: int
) -> None:
    model = causal_model(seed, Captioning(mismatch=mismatch, invention=invention))
    bias = Misalignment.of_rates(dict.fromkeys(bias.selected, mention), channels=bias.channels)
    mixings = draw_mixings(model, bias, generator=generator(seed), draw=orthogonal_mixing)
    views = render(model.sample(16, bias, generator=generator(seed)), mixings)
    image, text = views.image, views.text
    assert image.shape == (16, 4 + 3 + 2)
    assert len(text) == 16
    assert image.isfinite().all()
    assert text.isfinite().all()


@given(misalignments(), st.integers(0, 1_000))
def test_the_image_view_does_not_depend_on_the_misalignment(bias: Misalignment, seed: int) -> None:
    model = causal_model(seed)
    image, other = (
        render(
            model.sample(16, b, generator=generator(seed)),
            draw_mixings(model, b, generator=generator(seed), draw=orthogonal_mixing),
        ).image
        for b in (bias, Misalignment(NAMES))
    )
    assert torch.equal(image, other)


@given(st.integers(2, 12), st.integers(0, 1_000), st.sampled_from([mlp_mixing, orthogonal_mixing, flow_mixing]))
def test_every_mixing_is_undone_by_its_inverse(dim: int, seed: int, draw) -> None:
    options = {"n_draws": 1_000} if draw is mlp_mixing else {}
    mixing = draw(dim, generator=generator(seed), **options)
    points = torch.randn(64, dim, dtype=torch.float64, generator=generator(seed + 1))
    assert mixing.dim == dim
    torch.testing.assert_close(mixing.inverse(mixing(points)), points, rtol=0, atol=1e-6)


@given(misalignments(), st.integers(0, 1_000))
def test_the_oracle_knows_the_block_exactly_and_more_the_larger_the_block(bias: Misalignment, seed: int) -> None:
    graph = random_graph(CONTINUOUS, edge_probability=0.5, generator=generator(seed))
    model = LatentModel(CONTINUOUS, linear_equations(CONTINUOUS, graph, generator=generator(seed)))
    bias = Misalignment(bias.selected, bias.perturbed)
    oracle, faithful = oracle_r2(model, bias), oracle_r2(model, Misalignment(bias.selected))
    assert all(oracle[name] == 1.0 for name in bias.unbiased)
    assert all(0 <= oracle[name] <= faithful[name] + 1e-9 for name in NAMES)
    assert set(oracle.errors.values()) == {0.0}
