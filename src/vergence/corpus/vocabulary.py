"""What a sample of a corpus's captions says beside the lexicon: in which languages, and in which words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from vergence.corpus.intervals import wilson
from vergence.corpus.languages import ENGLISH, SCRIPTS, UNDECIDED, UNSPACED, languages_of, script_table
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.matching import Matcher
from vergence.corpus.sampling import CaptionSample
from vergence.corpus.stop_words import STOP_WORDS
from vergence.corpus.unicode import INVISIBLE, fold_table, word_table

NOTICED = 0.01
"""A language in which this share of the captions, or more, look written is reported."""

_COVERS = (
    0.25  # a lexicon that does not say its language and finds something in so many captions of one is taken to be in it
)
_MOST_WORDS = 100
_WITNESSES = 3  # words that show what makes captions look written in a language


@dataclass(frozen=True, eq=False)
class _Text:
    """The captions of a sample, taken apart.

    Args:
        words: Of each caption, folded.
        open_words: Of each caption the words of two letters or more that no form of the lexicon covers; none of a
            script that does not set words apart.
        letters: Of each caption how many letters of each script.
        mentioning: Whether a caption mentions a concept.
    """

    words: Sequence[Sequence[str]]
    open_words: Sequence[Sequence[str]]
    letters: Int64[np.ndarray, "captions scripts"]
    mentioning: Bool[np.ndarray, " captions"]


def vocabulary(sample: CaptionSample, matcher: Matcher, lexicon: Lexicon) -> dict[str, Any]:
    """The languages of the captions in a sample, and the frequent words that no concept of the lexicon covers.

    Args:
        sample: Of the captions of a corpus.
        matcher: Finds what the lexicon covers.
        lexicon: Its language, or the script of its forms, is what captions are compared with.

    Returns:
        `sample`: different (captions in it), captions (with repetitions), whole (whether it is all of the corpus).
        `languages`: lexicon (its language), stated (whether the lexicon says so), found (by language: language,
        captions, share, low, high, mentioning (share of them in which a concept is found), words (that show it)),
        undecided (captions, share) and unlike (the languages that the lexicon is taken to miss).
        `uncovered_words`: word, captions (in the sample), share, low, high; most frequent first, each in two captions
        at least, without the stop words of the lexicon's language and of those found.
    """
    text = _taken_apart(sample, matcher)
    spoken = languages_of(text.words, text.letters)
    languages = _languages(text, spoken, sample, lexicon)
    heard = {row["language"] for row in languages["found"] if row["share"] >= NOTICED} | {languages["lexicon"]}
    left_out = {word for language in heard for word in STOP_WORDS.get(language, ())}
    counts: Counter[str] = Counter()
    for words, count in zip(text.open_words, sample.counts.tolist(), strict=True):
        for word in set(words) - left_out:
            counts[word] += count
    often = sorted(((n, word) for word, n in counts.items() if n > 1), key=lambda entry: (-entry[0], entry[1]))
    shares = _shares([n for n, _ in often[:_MOST_WORDS]], sample)
    rows = [{"word": word, **share} for (_, word), share in zip(often, shares, strict=False)]
    different, captions = len(sample.digests), int(sample.counts.sum())
    return {
        "sample": {"different": different, "captions": captions, "whole": sample.is_whole},
        "languages": languages,
        "uncovered_words": rows,
    }


def _languages(text: _Text, spoken: Sequence[str], sample: CaptionSample, lexicon: Lexicon) -> dict[str, Any]:
    names = np.array(spoken, dtype=object)
    told_apart = sorted(set(spoken) - {UNDECIDED})
    own = {language: names == language for language in (UNDECIDED, *told_apart)}
    undecided, *shares = _shares([int(sample.counts[mine].sum()) for mine in own.values()], sample)
    found = [
        {
            "language": language,
            **share,
            "mentioning": float(sample.counts[own[language] & text.mentioning].sum() / share["captions"]),
            "words": _witnesses(text, np.flatnonzero(own[language]).tolist(), language),
        }
        for language, share in zip(told_apart, shares, strict=True)
    ]
    found.sort(key=lambda row: (-row["captions"], row["language"]))
    mine = lexicon.language or _written_in(lexicon)
    unlike = [
        row["language"]
        for row in found
        if row["language"] != mine and row["share"] >= NOTICED and (lexicon.language or row["mentioning"] < _COVERS)
    ]
    return {
        "lexicon": mine,
        "stated": bool(lexicon.language),
        "found": found,
        "undecided": undecided,
        "unlike": unlike,
    }


def _written_in(lexicon: Lexicon) -> str:
    """The language of a lexicon that does not say it: by its script, English where that is Latin or not known."""
    codes = _codes("".join(form for concept in lexicon.concepts for form in concept.surface_forms))
    letters = np.bincount(script_table()[codes], minlength=len(SCRIPTS) + 1)[1:]
    first = SCRIPTS[int(letters.argmax())]
    return ENGLISH if first == SCRIPTS[0] or not letters.any() else first


def _witnesses(text: _Text, captions: Sequence[int], language: str) -> list[str]:
    """The stop words of a language that its captions use most."""
    known = {word for word in STOP_WORDS.get(language, ()) if len(word) > 1}
    counts = Counter(word for caption in captions for word in text.words[caption] if word in known)
    return [word for word, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:_WITNESSES]]


def _shares(counts: Sequence[int], sample: CaptionSample) -> list[dict[str, Any]]:
    """Counts in the sample as shares with Wilson's limits for its effective size."""
    total = int(sample.counts.sum())
    effective = sample.effective if total else 0.0
    shares = np.array(counts, dtype=np.float64) / max(total, 1)
    limits = zip(
        counts, shares.tolist(), *(limit.tolist() for limit in wilson(shares * effective, effective)), strict=True
    )
    return [dict(zip(("captions", "share", "low", "high"), row, strict=True)) for row in limits]


def _taken_apart(sample: CaptionSample, matcher: Matcher) -> _Text:
    """Words are those of `Matcher`: runs of word characters, folded, invisible characters left out."""
    captions = sample.captions()
    codes = _codes("\n".join(captions))
    bounds = np.cumsum([0] + [len(caption) + 1 for caption in captions])  # of each caption with its line feed
    covered = np.zeros(len(codes) + 1, dtype=np.int64)
    caption, begin, stop = matcher.spans(captions)[["caption", "start", "end"]].to_numpy(dtype=np.int64).T
    np.add.at(covered, bounds[caption] + begin, 1)
    np.add.at(covered, bounds[caption] + stop, -1)
    visible = ~np.isin(codes, list(map(ord, INVISIBLE)))
    place = np.repeat(np.arange(len(captions)), np.diff(bounds))[: len(codes)][visible]
    codes, inside = codes[visible], np.cumsum(covered)[:-1][visible] > 0
    scripts = script_table()[codes]
    letters = np.bincount(place * (len(SCRIPTS) + 1) + scripts, minlength=len(captions) * (len(SCRIPTS) + 1))
    unspaced = np.isin(scripts, [1 + SCRIPTS.index(name) for name in UNSPACED])
    words: list[list[str]] = [[] for _ in captions]
    open_words: list[list[str]] = [[] for _ in captions]
    folded = fold_table()[codes].astype("<u4").tobytes().decode("utf-32-le")
    closed = np.cumsum(np.concatenate([[0], inside | unspaced]))
    for start, end in _runs(word_table()[codes]):
        word = folded[start:end]
        words[place[start]].append(word)
        if end - start > 1 and closed[end] == closed[start] and not word.isdecimal() and word.strip("_"):
            open_words[place[start]].append(word)
    mentions = matcher.mentions(captions)
    mentioning = np.zeros(len(captions), dtype=bool)
    mentioning[mentions.captions] = True
    return _Text(words, open_words, letters.reshape(len(captions), len(SCRIPTS) + 1)[:, 1:], mentioning)


def _codes(text: str) -> Int64[np.ndarray, " characters"]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def _runs(inside: Bool[np.ndarray, " characters"]) -> Iterator[tuple[int, int]]:
    """Where runs of what is true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
