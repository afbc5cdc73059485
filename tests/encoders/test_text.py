"""The vocabulary and the encoder over it."""

import json
import unicodedata

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from vergence.encoders import BagOfWordsEncoder, Vocabulary
from vergence.errors import ConfigError

words = st.sampled_from(["red", "cube", "ball", "don't", "medium-dark", "überall", "日本", "7", "naïve"])
captions = st.lists(st.lists(words, max_size=6).map(" ".join), max_size=8)
hostile = st.lists(st.text(max_size=40), max_size=5)


@given(captions, captions)
def test_known_words_are_numbered_from_2_and_others_are_1(known: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.of(known)
    seen = {word for caption in known for word in caption.split()}
    for caption, row in zip(asked, vocabulary.encode(asked).tolist(), strict=True):
        numbers = [number for number in row if number]
        assert [vocabulary.words[number] for number in numbers] == [
            word if word in seen else "<unknown>" for word in caption.split()
        ]
        assert row == numbers + [0] * (len(row) - len(numbers))


@given(hostile, hostile)
@example(known=["<pad> <unknown>"], asked=["<pad>", "<unknown> \x00", "", " "])
@example(known=["\ud800 ẞ İstanbul"], asked=["ß ss", "\u202e\u0301", "a\nb\tc"])
def test_no_text_can_pass_for_padding_or_break_the_round_trip(known: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.of(known)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    tokens = vocabulary.encode(asked)
    assert torch.equal(tokens, again.encode(asked))
    assert tokens.shape[0] == len(asked)
    assert tokens.dtype == torch.long
    assert tokens.numel() == 0 or int(tokens.max()) < len(vocabulary)
    assert 1 not in vocabulary.encode(known)


@given(captions, st.integers(1, 10))
def test_a_given_length_cuts_or_pads(texts: list[str], length: int) -> None:
    vocabulary = Vocabulary.of(["red cube ball"])
    free, cut = vocabulary.encode(texts), vocabulary.encode(texts, length=length)
    assert cut.shape == (len(texts), length)
    common = min(length, free.shape[1])
    assert torch.equal(cut[:, :common], free[:, :common])
    assert not cut[:, common:].any()


def test_words_are_ordered_by_frequency_then_spelling_whatever_the_order_of_captions() -> None:
    texts = ["b a", "b c", "c a", "d"]
    assert Vocabulary.of(texts).words == Vocabulary.of(reversed(texts)).words == ("<pad>", "<unknown>", *"abcd")
    assert Vocabulary.of([*texts, "d d d"]).words[2] == "d"
    assert Vocabulary.of(texts, min_count=2).words[2:] == ("a", "b", "c")


def test_case_punctuation_and_the_composition_of_accents_do_not_matter() -> None:
    vocabulary = Vocabulary.of(["A café, don't -- medium-dark!"])
    assert set(vocabulary.words[2:]) == {"a", "café", "don't", "medium-dark"}
    decomposed = unicodedata.normalize("NFD", "CAFÉ a (medium-dark)")
    assert 1 not in vocabulary.encode([decomposed])


def test_a_vocabulary_is_stored_as_a_plain_list() -> None:
    assert json.loads(Vocabulary.of(["日本 ball"]).to_json()) == ["<pad>", "<unknown>", "ball", "日本"]


def test_no_captions_give_no_rows() -> None:
    assert Vocabulary.of([]).encode([]).shape == (0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary(("a", "b")), "unique words after <pad>, <unknown>; got"),
        (lambda: Vocabulary(("<pad>", "<unknown>", "a", "a")), "unique words after <pad>, <unknown>; got"),
        (lambda: Vocabulary.from_json("[]"), "unique words after <pad>, <unknown>; got"),
        (lambda: Vocabulary.of(["a"], min_count=0), "min_count must be >= 1; got 0"),
        (lambda: Vocabulary.of("a ball"), "captions must be a list of texts; got the string 'a ball'. Write"),
        (lambda: Vocabulary.of(["a"]).encode("a"), "captions must be a list of texts; got the string 'a'. Write"),
        (lambda: Vocabulary.of(["a"]).encode(["a"], length=0), "length must be >= 1; got 0"),
    ],
)
def test_what_cannot_be_a_vocabulary_or_captions_is_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def slow_encoding(encoder: BagOfWordsEncoder, row: list[int]) -> torch.Tensor:
    """Mean of the embeddings of all words but padding, then the head."""
    table = encoder.embedding.weight
    kept = [table[number] for number in row if number != 0]
    mean = sum(kept) / len(kept) if kept else torch.zeros_like(table[0])
    first, last = encoder.head[0], encoder.head[2]
    return last.weight @ (first.weight @ mean + first.bias).clamp(min=0) + last.bias


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=6))
def test_agrees_with_loops(rows: list[list[int]]) -> None:
    torch.manual_seed(0)
    encoder = BagOfWordsEncoder(10, 3, width=5, hidden=7).double()
    expected = torch.stack([slow_encoding(encoder, row) for row in rows])
    torch.testing.assert_close(encoder(torch.tensor(rows)), expected, rtol=1e-12, atol=1e-13)


@given(
    rows=st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=6),
    more=st.integers(0, 5),
    order=st.permutations(range(5)),
)
def test_padding_and_word_order_do_not_change_the_encoding(rows, more: int, order) -> None:
    torch.manual_seed(0)
    encoder = BagOfWordsEncoder(10, 3, width=5, hidden=7).double()
    tokens = torch.tensor([row + [0] * (5 - len(row)) for row in rows])
    padded = torch.cat([tokens, tokens.new_zeros(len(rows), more)], dim=1)
    torch.testing.assert_close(encoder(padded), encoder(tokens), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(encoder(tokens[:, order]), encoder(tokens), rtol=1e-12, atol=1e-13)


def test_an_empty_caption_has_a_finite_encoding_of_its_own() -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary.of(["a ball"])
    encoder = BagOfWordsEncoder(len(vocabulary), 4)
    empty, blank, ball = encoder(vocabulary.encode(["", " ,.", "a ball"]))
    assert bool(empty.isfinite().all())
    torch.testing.assert_close(empty, blank)
    assert not torch.allclose(empty, ball, atol=1e-3)


def test_the_gradient_reaches_every_parameter_but_the_padding() -> None:
    torch.manual_seed(0)
    encoder = BagOfWordsEncoder(6, 4)
    encoder(torch.tensor([[1, 2, 3], [4, 5, 0]])).square().sum().backward()
    for name, weight in encoder.named_parameters():
        assert bool((weight.grad != 0).any()), name
    rows = encoder.embedding.weight.grad.abs().sum(1)
    assert rows[0] == 0
    assert bool((rows[1:] > 0).all())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2, 4), r"vocabulary_size must be >= 3 \(captions need words\); got 2"),
        ((9, 0), "dim must be >= 1; got 0"),
        ((9, 4, 0), "width must be >= 1; got 0"),
        ((9, 4, 8, -1), "hidden must be >= 1; got -1"),
    ],
)
def test_sizes_are_checked(sizes: tuple[int, ...], message: str) -> None:
    settings = dict(zip(("width", "hidden"), sizes[2:], strict=False))
    with pytest.raises(ConfigError, match=message):
        BagOfWordsEncoder(*sizes[:2], **settings)
