"""Captions of scenes: they say what the misalignment selects, as often and as wrongly as it asks, and nothing else."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.channels import AdditiveNoise, LabelSwap, Redraw
from vergence.errors import ConfigError, FactorError
from vergence.factors import Factor, FactorSpace
from vergence.misalignment import Misalignment
from vergence.random import generator
from vergence.scenes import SCENES, scenes
from vergence.views import PALETTE_OF_HUE, factor_codes, text_record, write_scene_captions
from vergence.views.palettes import PALETTES, color_arcs
from vergence.views.record import text_places
from vergence.views.scene_captions import REGIONS
from vergence.views.wording import WORDINGS, sentence

HUES = ("object_hue", "spot_hue", "background_hue")


def labels_of(name: str, n: int, seed: int = 0) -> pd.DataFrame:
    return scenes(name).draw(n, generator=generator(seed))


def written(name: str, labels: pd.DataFrame, misalignment: Misalignment, seed: int = 1):
    return write_scene_captions(name, labels, misalignment, generator=generator(seed))


def is_share(found: float, expected: float, n: int) -> bool:
    """Within 4.5 standard deviations of a binomial share."""
    return abs(found - expected) <= 4.5 * math.sqrt(expected * (1 - expected) / n) + 1e-12


some_factors = st.sampled_from(list(SCENES)).flatmap(
    lambda name: st.tuples(st.just(name), st.sets(st.sampled_from(scenes(name).captioned), min_size=1))
)


@settings(max_examples=60, deadline=None)
@given(chosen=some_factors)
def test_any_subset_of_factors_is_worded_and_its_values_can_be_read_back(chosen):
    name, selected = chosen
    labels = labels_of(name, 300)
    captions = written(name, labels, Misalignment(selected))
    said = captions.said.drop(columns="palette", errors="ignore")
    assert set(said.columns) == selected
    assert said.notna().all(axis=None)
    meanings = said.assign(text=captions.texts).drop_duplicates()
    assert meanings["text"].is_unique  # a text says one thing
    for factor in selected:
        words = WORDINGS[name].words.get(factor, {})
        for text, value in zip(captions.texts, said[factor], strict=True):
            assert words.get(value, value) in text


@settings(max_examples=60, deadline=None)
@given(chosen=some_factors)
def test_what_is_omitted_does_not_reach_the_text(chosen):
    name, selected = chosen
    labels, others = labels_of(name, 100), labels_of(name, 100, seed=7)
    changed = labels.assign(**{factor: others[factor] for factor in scenes(name).space if factor not in selected})
    bias = Misalignment(selected)
    captions = written(name, labels, bias)
    assert written(name, changed, bias).texts == captions.texts
    assert written(name, labels[sorted(selected)], bias).texts == captions.texts


@settings(max_examples=40, deadline=None)
@given(chosen=some_factors, seed=st.integers(0, 5))
def test_draws_of_one_factor_do_not_depend_on_what_happens_to_the_others(chosen, seed):
    name, selected = chosen
    captioned, labels = scenes(name).captioned, labels_of(name, 60)
    all_said = Misalignment.of_rates(dict.fromkeys(captioned, 0.7), redraw=dict.fromkeys(captioned, 0.5))
    few_said = Misalignment.of_rates(dict.fromkeys(selected, 0.7), redraw=dict.fromkeys(selected, 0.5))
    of_all, of_few = (written(name, labels, bias, seed).said for bias in (all_said, few_said))
    pd.testing.assert_frame_equal(of_all[of_few.columns], of_few)


@pytest.mark.parametrize("name", [name for name in SCENES if name != "causal3dident"])
def test_captions_of_a_crisp_misalignment_record_exactly_the_true_values(name):
    labels = labels_of(name, 500)
    captions = written(name, labels, Misalignment(scenes(name).captioned))
    assert captions.said.to_dict("list") == labels[list(scenes(name).captioned)].to_dict("list")


def test_hues_and_the_spotlight_are_named_as_they_are_rendered():
    labels = labels_of("causal3dident", 2000)
    said = written("causal3dident", labels, Misalignment(scenes("causal3dident").captioned)).said
    for palette, rows in said.groupby("palette").groups.items():
        arcs = color_arcs(palette)
        assert said.loc[rows, "object_hue"].tolist() == arcs.name(labels.loc[rows, "object_hue"].to_numpy()).tolist()
        for hue in ("spot_hue", "background_hue"):
            turned = (labels.loc[rows, hue] - 0.5) / 2  # HSV hue in [-1/4, 1/4]
            assert said.loc[rows, hue].tolist() == arcs.name(turned.to_numpy()).tolist()
    fifths = (labels["spot_position"] * 5).astype(int).clip(upper=4)
    assert said["spot_position"].tolist() == [REGIONS[fifth] for fifth in fifths]
    assert all(is_share((said["palette"] == palette).mean(), 1 / 3, 2000) for palette in PALETTES)


def test_a_palette_for_each_hue_names_it_in_every_caption():
    labels, bias = labels_of("causal3dident", 300), Misalignment({"shape", *HUES})
    fixed = write_scene_captions("causal3dident", labels, bias, generator=generator(1), palettes=PALETTE_OF_HUE)
    drawn = written("causal3dident", labels, bias)
    assert fixed.said.columns.tolist() == [*drawn.said.columns.drop("palette")]
    for hue, palette in PALETTE_OF_HUE.items():
        assert set(fixed.said[hue]) <= set(color_arcs(palette).names)
        rows = drawn.said["palette"] == palette  # what is drawn otherwise does not depend on the choice
        assert fixed.said.loc[rows, hue].tolist() == drawn.said.loc[rows, hue].tolist()
    with pytest.raises(FactorError, match=r"no palette for 'spot_hue'; name one of tableau, css4, xkcd"):
        write_scene_captions("causal3dident", labels, bias, generator=generator(1), palettes={"object_hue": "css4"})
    with pytest.raises(ConfigError, match=r"unknown palette 'x11'; known: tableau, css4, xkcd"):
        write_scene_captions("causal3dident", labels, bias, generator=generator(1), palettes=dict.fromkeys(HUES, "x11"))


def test_ends_of_the_unit_interval_are_worded():
    labels = labels_of("causal3dident", 2)
    for name in ("spot_position", *HUES):
        labels[name] = [0.0, 1.0]
    said = written("causal3dident", labels, Misalignment({"spot_position", *HUES})).said
    assert said["spot_position"].tolist() == ["northwest", "southeast"]
    assert said.loc[0, "object_hue"] == color_arcs(said.loc[0, "palette"]).name(np.zeros(1))[0]
    assert said.loc[1, "object_hue"] == color_arcs(said.loc[1, "palette"]).name(np.zeros(1))[0]  # a whole turn


def test_the_background_is_named_by_its_own_hue_whatever_else_is_perturbed():
    labels = labels_of("causal3dident", 3000)
    labels["object_hue"], labels["background_hue"] = 1 / 3, 0.5  # green, and HSV hue 0: red
    captioned = scenes("causal3dident").captioned
    for perturbed in ((), ("object_hue",), ("object_hue", "spot_hue")):
        said = written("causal3dident", labels, Misalignment(captioned, perturbed, channel=Redraw(0.9))).said
        red = {palette: color_arcs(palette).name(np.zeros(1))[0] for palette in PALETTES}
        assert said["background_hue"].tolist() == said["palette"].map(red).tolist()


@pytest.mark.parametrize("rate", [0.25, 0.9])
@pytest.mark.parametrize("name", SCENES)
def test_discrete_factors_are_wrong_as_often_as_asked(name, rate):
    n, space = 6000, scenes(name).space
    discrete = [factor for factor in scenes(name).captioned if not space[factor].is_continuous]
    labels = labels_of(name, n)
    said = written(name, labels, Misalignment.of_rates(dict.fromkeys(discrete, 1.0), redraw={discrete[0]: rate})).said
    expected = rate * (1 - 1 / len(space[discrete[0]].values))  # a redraw may be right
    assert is_share((said[discrete[0]] != labels[discrete[0]]).mean(), expected, n)
    for factor in discrete[1:]:
        assert said[factor].tolist() == labels[factor].tolist()


@pytest.mark.parametrize("factor", ["spot_position", *HUES])
@pytest.mark.parametrize("channel", [Redraw(0.3), Redraw(0.9), None])
def test_continuous_factors_are_redrawn_uniformly_at_the_rate_asked_0_9_if_none_is(factor, channel):
    n, rate = 20_000, 0.9 if channel is None else channel.probability
    labels = labels_of("causal3dident", n).assign(**{factor: 0.1234567890123})
    space = scenes("causal3dident").space
    bias = Misalignment({"shape", factor}, {factor}, channel=channel)
    places = text_places(labels, space, bias, generator=generator(0), ranges={factor: (0.0, 1.0)})[factor]
    redrawn = places[places != 0.1234567890123]
    assert is_share(len(redrawn) / n, rate, n)
    for upper in (0.1, 0.5, 0.8):
        assert is_share((redrawn < upper).mean(), upper, len(redrawn))
    said = written("causal3dident", labels, bias, seed=0).said
    if factor == "spot_position":  # what is worded is what was redrawn
        assert said[factor].tolist() == [REGIONS[int(place * 5)] for place in places]


@pytest.mark.parametrize("name", SCENES)
def test_factors_are_mentioned_as_often_as_asked_and_silence_is_none(name):
    n, captioned = 6000, scenes(name).captioned
    rates = {factor: (0.2, 0.5, 1.0)[place % 3] for place, factor in enumerate(captioned)}
    captions = written(name, labels_of(name, n), Misalignment.of_rates(rates))
    for factor, rate in rates.items():
        assert is_share(captions.said[factor].notna().mean(), rate, n)
    silent = written(name, labels_of(name, 50), Misalignment.of_rates({captioned[0]: 0.0}))
    assert silent.said.empty
    assert all(text for text in silent.texts)  # a sentence about nothing in particular


def test_mention_may_depend_on_the_value_also_of_a_continuous_factor():
    labels = labels_of("causal3dident", 500)
    bias = Misalignment.of_rates({"spot_position": lambda values: (values > 0.5).float()})
    said = written("causal3dident", labels, bias).said["spot_position"]
    assert said.notna().tolist() == (labels["spot_position"] > 0.5).tolist()


def test_values_that_are_not_stated_stay_so():
    labels = labels_of("mpi3d-like", 4).astype(object)
    labels.loc[1, "color"] = None
    captions = written("mpi3d-like", labels, Misalignment({"color", "shape"}, {"color"}, channel=Redraw(1.0)))
    assert captions.said["color"].isna().tolist() == [False, True, False, False]
    hues = labels_of("causal3dident", 3).assign(spot_hue=[0.2, None, 0.3])
    assert written("causal3dident", hues, Misalignment({"spot_hue"})).said["spot_hue"].isna().tolist() == [0, 1, 0]


def test_a_coarse_grid_is_redrawn_from_its_own_values_and_worded_as_the_whole_one():
    grid = scenes("shapes3d-like").coarse({"floor_hue": 3, "wall_hue": 2, "orientation": 2})
    labels = grid.draw(100, generator=generator(0))
    bias = Misalignment({"wall_hue", "floor_hue"}, {"floor_hue"}, channel=Redraw(1.0))
    captions = write_scene_captions(grid, labels, bias, generator=generator(1))
    assert set(captions.said["floor_hue"]) == {"0.0", "0.3", "0.6"}
    words = WORDINGS["shapes3d-like"].words["wall_hue"]
    assert all(words[hue] in text for hue, text in zip(labels["wall_hue"], captions.texts, strict=True))


@pytest.mark.parametrize("name", WORDINGS)
def test_every_family_words_every_factor_once(name):
    captioned = frozenset(scenes(name).captioned)
    texts = set()
    for family in range(len(WORDINGS[name].families)):
        template, order = sentence(name, family, captioned)
        assert sorted(order) == sorted(captioned)
        assert template.count("%s") == len(order)
        texts.add(template)
    assert len(texts) == (5 if name == "causal3dident" else 3)


def test_what_captions_cannot_say_is_refused():
    labels = labels_of("causal3dident", 3)
    with pytest.raises(
        ConfigError, match=r"unknown image set 'mpi3d'; known: dsprites, .* Did you mean 'mpi3d-like'\?"
    ):
        written("mpi3d", labels, Misalignment({"shape"}))
    with pytest.raises(FactorError, match=r"unknown factor in captions of causal3dident 'rotation_beta'; known: shape"):
        written("causal3dident", labels, Misalignment({"rotation_beta"}))
    with pytest.raises(FactorError, match=r"values of 'spot_hue' must be in \[0, 1\]; got 3"):
        written("causal3dident", labels.assign(spot_hue=[0.5, 3.0, -1.0]), Misalignment({"spot_hue"}))
    with pytest.raises(FactorError, match=r"unknown value of factor 'shape' 'hair'; .* Did you mean 'hare'\?"):
        written("causal3dident", labels.assign(shape="hair"), Misalignment({"shape"}))
    noisy = Misalignment({"shape", "spot_hue"}, {"spot_hue"}, channel=AdditiveNoise())
    with pytest.raises(FactorError, match=r"captions of 'spot_hue', in \[0, 1\], can be redrawn only; got AdditiveN"):
        written("causal3dident", labels, noisy)
    with pytest.raises(FactorError, match=r"only a discrete factor can be redrawn .* 'spot_hue' is continuous"):
        text_record(labels, scenes("causal3dident").space, noisy, generator=generator(0))


def test_a_record_and_its_places_have_the_same_draws():
    labels = labels_of("mpi3d-like", 400)
    space = scenes("mpi3d-like").space
    bias = Misalignment.of_rates(
        {"color": 0.5, "shape": 1.0}, redraw={"color": 0.5}, channels={"shape": LabelSwap(0.5)}
    )
    record = text_record(labels, space, bias, generator=generator(3))
    places = text_places(labels, space, bias, generator=generator(3))
    for factor in ("color", "shape"):
        named = [None if place < 0 else space[factor].values[place] for place in places[factor]]
        assert [None if pd.isna(value) else value for value in record[factor]] == named
    ranged = text_record(
        pd.DataFrame({"hue": [0.25] * 1000}), FactorSpace((Factor("hue"), Factor("b", ("0", "1")))),
        Misalignment.of_rates({"hue": 0.5}, redraw={"hue": 1.0}), generator=generator(0), ranges={"hue": (2.0, 3.0)},
    )["hue"]  # fmt: skip
    assert ranged.dropna().between(2, 3).all()
    assert is_share(ranged.notna().mean(), 0.5, 1000)


def test_factor_codes_are_one_hot_in_the_order_asked_for_and_zero_where_nothing_is_stated():
    space = scenes("mpi3d-like").space
    labels = labels_of("mpi3d-like", 50).astype(object)
    labels.loc[3, "size"] = None
    codes = factor_codes(labels, space, ["size", "color"])
    assert codes.shape == (50, 6)
    assert codes[:, :2].sum(1).tolist() == [row != 3 for row in range(50)]
    assert codes[:, 2:].argmax(1).tolist() == [space["color"].index(value) for value in labels["color"]]
    assert factor_codes(labels, space, []).shape == (50, 0)
    hues = labels_of("causal3dident", 5)
    torch.testing.assert_close(
        factor_codes(hues, scenes("causal3dident").space, ["spot_hue"])[:, 0].double(),
        torch.tensor(hues["spot_hue"].to_numpy()), rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    with pytest.raises(FactorError, match=r"'spot_hue' is continuous: no code says that it is not stated"):
        factor_codes(hues.assign(spot_hue=None), scenes("causal3dident").space, ["spot_hue"])
    with pytest.raises(FactorError, match=r"unknown factor in the record 'size'; known: shape"):
        factor_codes(labels[["shape"]], space, ["size"])
