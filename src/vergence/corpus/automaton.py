"""Compiles surface forms to one table that a loop without branches can follow: an Aho-Corasick automaton on characters.

Design:
- The alphabet is classes of code points: one for each folded character that some form contains, one for white space,
  one for what is as if it were not there, one for all other word characters, one for all others. Case folding, white
  space and what counts as a word are thus part of the lookup, not of the loop.
- White space leads from a state that white space has reached to that state again, so that a run of it is one space. An
  invisible character leads from each state to itself and reports nothing.
- With whole words, a form can only begin where the character before is no word character, so a failing word leads to a
  state that waits for the word's end. [aho1975], algorithms 2 to 4; differs: failure links keep only such suffixes.
- Forms are reported on leaving the state where they end, because the character that follows decides whether they count.
  An entry of the table that reports is the complement of its target: negative, hence one comparison per character.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt16

from vergence.corpus.kernels import ABSENT, FIRST, SPACE, WORD
from vergence.corpus.unicode import INVISIBLE, WHITE_SPACE, compared, fold_table, word_table
from vergence.errors import ConfigError

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
        lengths: Code points of each form as it is compared.
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
        forms: Strings not of white space alone; equal ones are reported each under its own number.
        whole_words: Whether neither neighbour of a form may be a word character.

    Returns:
        The automaton.

    Raises:
        ConfigError: If the table would need more than 4 GiB.
    """
    plain = [compared(form) for form in forms]
    classes, symbols = _classes(plain)
    width = FIRST - 1 + len(symbols)
    trie, ends = _trie(plain, symbols, most=_MOST_ENTRIES // width)
    is_word = np.zeros(width, dtype=np.bool_)
    is_word[[WORD, *symbols.values()]] = [True, *(word_table()[ord(character)] for character in symbols)]
    table = _transitions(trie, ends, is_word, whole_words=whole_words)
    final = np.concatenate([[0], np.cumsum([len(numbers) for numbers in ends])]).astype(np.int32)
    target = table * np.int32(width)
    reporting = np.diff(final)[:, None] > 0
    reports = reporting & ~is_word[None, :] if whole_words else np.repeat(reporting, width, axis=1)
    reports[:, ABSENT] = False
    return Automaton(
        table=np.where(reports, ~target, target).ravel(),
        classes=classes,
        n_classes=width,
        final=final,
        outputs=np.array([number for numbers in ends for number in numbers], dtype=np.int32),
        lengths=np.array([len(form) for form in plain], dtype=np.int32),
    )


def _classes(forms: Iterable[str]) -> tuple[UInt16[np.ndarray, " code_points"], dict[str, int]]:
    alphabet = sorted(set().union(*forms) - {" "})
    if len(alphabet) + FIRST > np.iinfo(np.uint16).max:
        raise ConfigError(
            f"the forms use {len(alphabet)} different characters; at most {2**16 - 1 - FIRST} are supported"
        )
    symbols = {" ": SPACE} | {character: number for number, character in enumerate(alphabet, start=FIRST)}
    classes = word_table().astype(np.uint16)  # OTHER (0) or WORD (1)
    by_folded = np.zeros(len(classes), dtype=np.uint16)
    by_folded[[ord(character) for character in alphabet]] = range(FIRST, FIRST + len(alphabet))
    own = by_folded[fold_table()]
    classes = np.where(own > 0, own, classes)
    classes[[ord(character) for character in WHITE_SPACE]] = SPACE
    classes[[ord(character) for character in INVISIBLE]] = ABSENT
    return classes, symbols


def _trie(forms: Sequence[str], symbols: dict[str, int], *, most: int) -> tuple[list[dict[int, int]], list[list[int]]]:
    """By state the children under each class, and the numbers of the forms that end there."""
    trie: list[dict[int, int]] = [{}, {}]
    ends: list[list[int]] = [[], []]
    for number, form in enumerate(forms):
        node = START
        for character in form:
            symbol = symbols[character]
            if symbol not in trie[node]:
                trie[node][symbol] = len(trie)
                trie.append({})
                ends.append([])
            node = trie[node][symbol]
        ends[node].append(number)
        if len(trie) > most:
            raise ConfigError(
                f"{len(forms)} forms of {len(symbols)} characters need more than the {most} states supported; split the"
                " lexicon"
            )
    return trie, ends


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
    for children in trie:
        if SPACE in children:
            table[children[SPACE], SPACE] = children[SPACE]
    table[:, ABSENT] = np.arange(len(trie))
    return table
