"""Query transformer: what a mask hides is hidden, a cache changes nothing, decoders find what they search for."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.captioning import slow_beam
from torch import Tensor
from torch.testing import assert_close

from vergence.encoders import BEGIN, END, CaptionVocabulary, QFormer, beam, greedy, nucleus
from vergence.errors import ConfigError, ShapeError
from vergence.random import generator

WORDS = 8  # of which four are special
LENGTH = 5


def model(seed: int = 0, *, max_length: int = LENGTH, **settings) -> QFormer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = QFormer(
            token_dim=6, n_words=WORDS, dim=8, heads=2, queries=3, encoding_size=5, max_length=max_length, **settings
        )
        for weight in made.parameters():
            torch.nn.init.normal_(weight, std=0.7)
    return made.double().eval()


def images(n: int = 3, *, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, 6, generator=generator(seed), dtype=torch.float64)


def changed(ids: Tensor, place: int) -> Tensor:
    other = ids.clone()
    other[:, place] = 9 - other[:, place]  # 4 for 5, 5 for 4
    return other


IDS = torch.tensor([[2, 4, 5, 4, 3], [2, 5, 5, 4, 3], [2, 4, 4, 5, 3]])


@pytest.mark.parametrize("cross_every", [1, 2])
def test_under_the_unimodal_mask_neither_modality_sees_the_other(cross_every: int) -> None:
    """What is hidden cannot be passed in: images alone are encoded, and texts; here, that it is what they hang on."""
    qformer = model(cross_every=cross_every)
    looked = qformer.look(images())
    assert torch.equal(qformer.image(looked), qformer.image(images()))
    before = qformer.image(looked).clone()
    qformer.predict(looked, IDS), qformer.match(looked, IDS)
    assert torch.equal(qformer.image(looked), before)
    for place in (1, 2, 3):
        assert not torch.isclose(qformer.text(changed(IDS, place)), qformer.text(IDS)).any()
    other = images()
    other[0, 3] += 1
    same = torch.isclose(qformer.image(other), qformer.image(images()), rtol=0, atol=1e-12).flatten(1)
    assert same.any(1).tolist() == [False, True, True]
    assert same.all(1).tolist() == [False, True, True]


def test_under_the_bidirectional_mask_all_see_each_other() -> None:
    qformer, tokens = model(), images()
    logits = qformer.match(tokens, IDS)
    for place in (1, 2, 3):
        assert not torch.isclose(qformer.match(tokens, changed(IDS, place)), logits).any()
    other = tokens.clone()
    other[:, 2] += 1
    assert not torch.isclose(qformer.match(other, IDS), logits).any()


@pytest.mark.parametrize("place", [1, 2, 3])
def test_under_the_causal_mask_a_word_changes_nothing_before_it_and_all_after_it(place: int) -> None:
    qformer, tokens = model(), images()
    found, other = qformer.predict(tokens, IDS), qformer.predict(tokens, changed(IDS, place))
    assert_close(other[:, :place], found[:, :place], rtol=0, atol=1e-12)
    assert not torch.isclose(other[:, place:], found[:, place:]).all(2).any()
    seen = images(seed=1)
    assert not torch.isclose(qformer.predict(seen, IDS), found).all(2).any()


def test_no_mask_lets_padding_through() -> None:
    """One more word in another text of the batch, or a batch padded further, is no change; nor is who else is there."""
    qformer, tokens = model(max_length=9), images()
    short = torch.tensor([[2, 4, 3, 0, 0], [2, 5, 5, 4, 3], [2, 3, 0, 0, 0]])
    long = torch.nn.functional.pad(short, (0, 3))
    alone = short[:1, :3]
    assert_close(qformer.text(long), qformer.text(short), rtol=0, atol=1e-12)
    assert_close(qformer.text(alone), qformer.text(short)[:1], rtol=0, atol=1e-12)
    assert_close(qformer.match(tokens, long), qformer.match(tokens, short), rtol=0, atol=1e-12)
    assert_close(qformer.match(tokens[:1], alone), qformer.match(tokens, short)[:1], rtol=0, atol=1e-12)
    assert_close(qformer.predict(tokens, long)[:, :5], qformer.predict(tokens, short), rtol=0, atol=1e-12)
    assert_close(qformer.predict(tokens[:1], alone), qformer.predict(tokens, short)[:1, :3], rtol=0, atol=1e-12)


def test_hidden_words_get_no_gradient_and_seen_ones_do() -> None:
    """Of the logits at one place, with respect to what each place is embedded as."""
    qformer, tokens = model(), images(1)
    places = qformer.places.requires_grad_()
    for place in range(LENGTH):
        (gradient,) = torch.autograd.grad(qformer.predict(tokens, IDS[:1])[0, place].square().sum(), places)
        assert (gradient.abs().sum(1) > 0).tolist() == [at <= place for at in range(LENGTH)]
    (gradient,) = torch.autograd.grad(qformer.image(tokens).sum(), places, allow_unused=True)
    assert gradient is None
    (gradient,) = torch.autograd.grad(qformer.match(tokens, IDS[:1]).sum(), places)
    assert (gradient.abs().sum(1) > 0).all()


@given(seed=st.integers(0, 2**31), layers=st.integers(1, 3), cross_every=st.integers(1, 2))
def test_cached_decoding_equals_uncached(seed: int, layers: int, cross_every: int) -> None:
    qformer, tokens = model(seed, layers=layers, cross_every=cross_every), images(seed=seed)
    ids = torch.randint(4, WORDS, (3, LENGTH), generator=generator(seed))
    ids[:, 0] = BEGIN
    cache = qformer.begin(tokens)
    for place in range(LENGTH):
        assert_close(qformer.step(cache, ids[:, place]), qformer.predict(tokens, ids)[:, place], rtol=0, atol=1e-12)
        order = torch.tensor([2, 0, 1])  # as beams are put in another order
        cache, ids, tokens = cache.take(order), ids[order], tokens[order]
    with pytest.raises(ShapeError, match="texts may have 5 words; got one more"):
        qformer.step(cache, ids[:, 0])


@given(seed=st.integers(0, 2**31), length_penalty=st.sampled_from([0.0, 0.7, 1.0, 2.0]))
def test_beams_as_many_as_beginnings_are_an_exhaustive_search(seed: int, length_penalty: float) -> None:
    qformer, tokens = model(seed), images(2, seed=seed)
    words = list(range(4, WORDS))
    found = beam(qformer, tokens, width=len(words) ** (LENGTH - 1), length_penalty=length_penalty)
    for image, said in zip(tokens, found, strict=True):

        def logs(ids: list[int], image: Tensor = image) -> Tensor:
            logits = qformer.predict(image[None], torch.tensor([ids]))[0].detach().clone()
            logits[:, :END] = -torch.inf
            return logits.log_softmax(1)

        assert said == slow_beam(logs, words, LENGTH - 1, length_penalty=length_penalty)[0]


@given(seed=st.integers(0, 2**31))
def test_narrow_decoders_agree_where_they_must(seed: int) -> None:
    qformer, tokens = model(seed), images(4, seed=seed)
    best = greedy(qformer, tokens)
    assert nucleus(qformer, tokens, p=1e-9, generator=generator(0)) == best
    assert nucleus(qformer, tokens, p=1.0, temperature=1e-4, generator=generator(0)) == best
    alone = [greedy(qformer, image[None])[0] for image in tokens]
    assert alone == best
    for decoder in (greedy, partial(beam, width=2), partial(nucleus, generator=generator(seed))):
        for said in decoder(qformer, tokens):
            assert len(said) <= LENGTH - 1
            assert all(END < word < WORDS for word in said)
        assert all(len(said) <= 2 for said in decoder(qformer, tokens, max_length=2))


def test_nucleus_draws_words_as_often_as_they_are_probable() -> None:
    qformer, n = model(3), 4000
    tokens = images(1).expand(n, -1, -1)
    logits = qformer.predict(tokens[:1], torch.tensor([[BEGIN]]))[0, 0].detach()
    probable = logits[END:].div(2).softmax(0)
    ordered, words = probable.sort(descending=True)
    p = float(ordered[0] + ordered[1] / 2)  # the first two are enough, the first is not
    said = nucleus(qformer, tokens, p=p, temperature=2.0, generator=generator(0), max_length=1)
    first = torch.tensor([(row[0] if row else END) - END for row in said])
    assert set(first.tolist()) == set(words[:2].tolist())
    share = float((first == words[0]).double().mean())
    assert abs(share - float(ordered[0] / ordered[:2].sum())) < 0.03


def test_captions_are_numbered_and_worded_again() -> None:
    captions = ["A red cube, left of a ball.", "It isn't (quite) blue; 3.5 cm: medium-dark!"]
    vocabulary = CaptionVocabulary.of(captions)
    ids = vocabulary.encode(captions)
    assert vocabulary.decode(ids) == [caption.lower() for caption in captions]
    assert (ids[:, 0] == BEGIN).all()
    assert ids.shape[1] == vocabulary.longest(captions)
    assert vocabulary.decode([row[1:].tolist() for row in ids]) == vocabulary.decode(ids)
    assert vocabulary.encode(["a red cube"], length=3).tolist() == [[BEGIN, *ids[0, 1:3].tolist()]]
    assert CaptionVocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_a_vocabulary_of_one_word_is_enough_and_of_none_is_refused() -> None:
    with torch.random.fork_rng():
        one = QFormer(token_dim=2, n_words=5, dim=4, heads=1, queries=1, encoding_size=2, max_length=4).eval()
    for decoder in (greedy, beam, partial(nucleus, generator=generator(0))):
        assert {word for said in decoder(one, torch.zeros(3, 2, 2)) for word in said} <= {4}
    with pytest.raises(ConfigError, match="n_words must be >= 5"):
        QFormer(token_dim=2, n_words=len(CaptionVocabulary.of([""])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, "dim must be a multiple of heads; got dim 8, heads 3"),
        ({"queries": 0}, "queries must be >= 1; got 0"),
        ({"max_length": 2}, "max_length must be >= 3 .a caption is a begin, words and an end.; got 2"),
        ({"dropout": 1.0}, r"dropout must be inside \(0, 1\); got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QFormer(**({"token_dim": 6, "n_words": 9, "dim": 8, "heads": 2} | settings))


def test_what_decoders_cannot_do_is_refused() -> None:
    qformer, tokens = model(), images()
    for call, message in (
        (partial(greedy, max_length=5), "max_length must be <= 4, what the model can say; got 5"),
        (partial(beam, width=0), "width must be >= 1; got 0"),
        (partial(nucleus, p=0.0, generator=generator(0)), r"p must be a share in \(0, 1\]; got 0.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            call(qformer, tokens)
    with pytest.raises(ShapeError, match=r"tokens must be \(batch, tokens, 6\); got \(3, 0, 6\)"):
        qformer.look(tokens[:, :0])
    with pytest.raises(ShapeError, match="texts may have 5 words, begin and end among them; got 6 places"):
        qformer.text(torch.full((1, 6), 4))
