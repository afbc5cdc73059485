"""Compiles surface forms to one table that a loop without branches can follow: an Aho-Corasick automaton on characters.

Design:
- The alphabet is classes of code points: one for each folded character that some form contains, one for all other word
  characters, one for all others. Case folding and what counts as a word are thus part of the lookup, not of the loop.
- With whole words, a form can only begin where the character before is no word character, so a failing word leads to a
  state that waits for the word's end. [aho1975], algorithms 2 to 4; differs: failure links keep only such suffixes.
- Forms are reported on leaving the state where they end, because the character that follows decides whether they count.
  An entry of the table that reports is the complement of its target: negative, hence one comparison per character.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt16

from vergence.corpus.unicode import fold, fold_table, word_table
from vergence.errors import ConfigError

OTHER, WORD = 0, 1  # classes of characters that no form contains: what ends a word, and what does not
START, INSIDE = 0, 1  # states: a form may begin here; within a word that can no longer match
_MOST_ENTRIES = 2**30


@dataclass(frozen=True, eq=False)
class Automaton:
    """A compiled automaton; states are numbered by the place of their row in the table.

    Args:
        table: Row by row the entry for each class: the target's row start, complemented if the state left reports.
        classes: The class of every code point.
        n_classes: Entries in a row.
        final: By state, where its outputs begin; the next state's beginning ends them.
        outputs: The numbers of the forms that end in each state, state by state.
        lengths: Code points of each form.
    """

    table: Int32[np.ndarray, " entries"]
    classes: UInt16[np.ndarray, " code_points"]
    n_classes: int
    final: Int32[np.ndarray, " states_and_one"]
    outputs: Int32[np.ndarray, " outputs"]
    lengths: Int32[np.ndarray, " forms"]


def compile_forms(forms: Sequence[str], *, whole_words: bool) -> Automaton:
    """Build the automaton that finds every occurrence of every form.

    Args:
        forms: Not empty strings; equal ones are reported each under its own number.
        whole_words: Whether neither neighbour of a form may be a word character.

    Returns:
        The automaton.

    Raises:
        ConfigError: If the table would need more than 4 GiB.
    """
    folded = [fold(form) for form in forms]
    classes, symbols = _classes(folded)
    trie: list[dict[int, int]] = [{}, {}]
    ends: list[list[int]] = [[], []]
    for number, form in enumerate(folded):
        node = START
        for character in form:
            symbol = symbols[character]
            if symbol not in trie[node]:
                trie[node][symbol] = len(trie)
                trie.append({})
                ends.append([])
            node = trie[node][symbol]
        ends[node].append(number)
    width = len(symbols) + 2
    if len(trie) * width > _MOST_ENTRIES:
        raise ConfigError(
            f"{len(forms)} forms need {len(trie)} states x {width} characters, more than the {_MOST_ENTRIES} entries"
            " supported; split the lexicon"
        )
    is_word = np.array([False, True, *(bool(word_table()[ord(character)]) for character in symbols)])
    table = _transitions(trie, ends, is_word, whole_words=whole_words)
    final = np.concatenate([[0], np.cumsum([len(numbers) for numbers in ends])]).astype(np.int32)
    target = table * np.int32(width)
    reporting = np.diff(final)[:, None] > 0
    reports = reporting & ~is_word[None, :] if whole_words else np.broadcast_to(reporting, table.shape)
    return Automaton(
        table=np.where(reports, ~target, target).ravel(),
        classes=classes,
        n_classes=width,
        final=final,
        outputs=np.array([number for numbers in ends for number in numbers], dtype=np.int32),
        lengths=np.array([len(form) for form in folded], dtype=np.int32),
    )


def _classes(folded: Iterable[str]) -> tuple[UInt16[np.ndarray, " code_points"], dict[str, int]]:
    alphabet = sorted(set().union(*folded))
    if len(alphabet) + 2 > np.iinfo(np.uint16).max:
        raise ConfigError(f"the forms use {len(alphabet)} different characters; at most {2**16 - 3} are supported")
    symbols = {character: number for number, character in enumerate(alphabet, start=2)}
    classes = word_table().astype(np.uint16)  # OTHER or WORD
    by_folded = np.zeros(len(classes), dtype=np.uint16)
    by_folded[[ord(character) for character in alphabet]] = range(2, len(alphabet) + 2)
    own = by_folded[fold_table()]
    return np.where(own > 0, own, classes), symbols


def _transitions(
    trie: list[dict[int, int]], ends: list[list[int]], is_word: np.ndarray, *, whole_words: bool
) -> Int32[np.ndarray, "states classes"]:
    """The state that follows each state under each class; adds to `ends` what shorter suffixes report."""
    table = np.empty((len(trie), len(is_word)), dtype=np.int32)
    table[START] = np.where(is_word & whole_words, INSIDE, START)
    table[INSIDE] = table[START]
    fallback = table[START].copy()  # where each child of START goes when its first character is given up
    for symbol, child in trie[START].items():
        table[START, symbol] = child
    queue = [(child, int(fallback[symbol])) for symbol, child in trie[START].items()]
    for node, failure in queue:  # grows while it is walked: breadth first, so that failures are complete
        ends[node] += ends[failure]
        table[node] = table[failure]
        for symbol, child in trie[node].items():
            queue.append((child, int(table[failure, symbol])))
            table[node, symbol] = child
    return table
