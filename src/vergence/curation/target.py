"""What captions are to say: a target by name for each factor, from a YAML file, a mapping or a `Misalignment`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vergence.channels import Redraw
from vergence.checks import probability
from vergence.corpus.lexicon import Group, Lexicon
from vergence.errors import ConfigError, unknown
from vergence.files import parse_yaml, read_text
from vergence.misalignment import Misalignment

_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "omit": ("omit",),
    "invariant-to": ("omit",),
    "forget": ("omit",),
    "faithful": ("insert", "correct"),
    "insert": ("insert",),
    "correct": ("correct",),
    "perturb": ("perturb",),
    "balance": ("balance",),
}
"""By key of a target, what is done. `invariant-to` and `forget` omit: what is never said is not taught."""

_OPTIONS = ("templates", "nouns", "allow-empty", "deduplicate")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted of one factor.

    Args:
        name: The key of the target that says so.
        kinds: What is done.
        rate: For omit and perturb, the share of mentions; for balance, the rate of mention at every value, or `None`
            for the lowest that there is.
        said: For perturb, what is said then (rows) by what is said now (columns); a uniform redraw if `None`.
        generic: For omit, the word that takes the place of a noun.
    """

    name: str
    kinds: tuple[str, ...]
    rate: float | None = 1.0
    said: np.ndarray | None = None
    generic: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is wanted, by factor.

    Args:
        wishes: By factor.
        templates: By factor, how a missing value is added.
        nouns: Factors whose values are nouns.
        allow_empty: Whether captions may lose all of their words.
        deduplicate: Whether captions that were there before in the corpus are emptied.
    """

    wishes: Mapping[str, Wish]
    templates: Mapping[str, str] = field(default_factory=dict)
    nouns: tuple[str, ...] = ()
    allow_empty: bool = False
    deduplicate: bool = False

    @property
    def generic(self) -> dict[str, str]:
        """By factor, the word that takes the place of what is omitted."""
        return {factor: wish.generic for factor, wish in self.wishes.items() if wish.generic}


def read_target(path: str | Path, lexicon: Lexicon) -> Target:
    """Read a target from a YAML file.

    Raises:
        CorpusError: If the file cannot be read.
        ConfigError: If it names no factor of the lexicon, contradicts itself, or holds something else.
    """
    return target_of(parse_yaml(read_text(path), where=str(path)), lexicon, where=str(path))


def target_of(given: Any, lexicon: Lexicon, *, where: str = "target") -> Target:
    """A target from a mapping, such as `{"omit": ["color"], "perturb": {"size": 0.9}}`, or from a `Misalignment`.

    Raises:
        ConfigError: As `read_target` does.

    Example:
        >>> from vergence.corpus import Concept, Group, Lexicon
        >>> lexicon = Lexicon("hues", (Group("hue", (Concept("red"), Concept("blue"))),))
        >>> target_of({"omit": ["hue"]}, lexicon).wishes["hue"].kinds
        ('omit',)
        >>> target_of({"omit": ["hue"], "faithful": ["hue"]}, lexicon)
        Traceback (most recent call last):
        vergence.errors.ConfigError: target: factor 'hue' is under omit and under faithful; keep one of them
    """
    if isinstance(given, Misalignment):
        return _of_misalignment(given, lexicon)
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where} must be a mapping such as {{omit: [color]}}; got {given!r:.80}")
    groups = {group.name: group for group in lexicon.groups}
    wishes: dict[str, Wish] = {}
    for key, value in given.items():
        if key in _OPTIONS:
            continue
        if key not in _BY_NAME:
            raise ConfigError(f"{where}: {unknown('key', key, [*_BY_NAME, *_OPTIONS])}")
        for factor, detail in _factors(key, value, where).items():
            if factor not in groups:
                raise ConfigError(f"{where}, {key}: {unknown('factor', factor, groups)}")
            wish = _wish(key, detail, groups[factor], f"{where}, {key}: {factor}")
            if factor in wishes:
                wish = _both(factor, wishes[factor], wish, where)
            wishes[factor] = wish
    deduplicate = _truth(given.get("deduplicate", False), f"{where}, deduplicate")
    if not wishes and not deduplicate:
        raise ConfigError(f"{where} changes no factor; name some under {', '.join(_BY_NAME)}")
    return Target(
        wishes=wishes,
        templates=_texts(given.get("templates", {}), groups, f"{where}, templates"),
        nouns=tuple(_factors("nouns", given.get("nouns", []), where)),
        allow_empty=_truth(given.get("allow-empty", False), f"{where}, allow-empty"),
        deduplicate=deduplicate,
    )


def _factors(key: str, value: Any, where: str) -> dict[str, Any]:
    """By factor what is said of it, if anything is."""
    if isinstance(value, str):
        return {value: None}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value)
    raise ConfigError(f"{where}, {key} must be a list of factors, or a mapping by factor; got {value!r:.80}")


def _wish(key: str, detail: Any, group: Group, where: str) -> Wish:
    kinds = _BY_NAME[key]
    if key == "perturb":
        return _perturbed(detail, group, where)
    if kinds == ("omit",) and isinstance(detail, str):
        return Wish(name=key, kinds=kinds, generic=detail)
    if detail is None:
        return Wish(name=key, kinds=kinds, rate=None if key == "balance" else 1.0)
    if kinds == ("omit",) or key == "balance":
        probability(f"{where}", detail)
        return Wish(name=key, kinds=kinds, rate=float(detail))
    raise ConfigError(f"{where} takes no {detail!r:.60}; write {key}: [{group.name}]")


def _perturbed(detail: Any, group: Group, where: str) -> Wish:
    """A redraw at a rate, or what is said by what would be."""
    values = [concept.name for concept in group.concepts]
    if isinstance(detail, Mapping):
        table = np.zeros((len(values), len(values)))
        for now in detail:
            if now not in values:
                raise ConfigError(f"{where}: {unknown('value', now, values)}")
        for column, now in enumerate(values):
            row = detail.get(now, {now: 1.0})
            if not isinstance(row, Mapping):
                raise ConfigError(f"{where}, {now} must map what is said to probabilities; got {row!r:.60}")
            for then, chance in row.items():
                if then not in values:
                    raise ConfigError(f"{where}, {now}: {unknown('value', then, values)}")
                probability(f"{where}, {now}, {then}", chance)
                table[values.index(then), column] = chance
        if (abs(table.sum(axis=0) - 1) > 1e-6).any():
            off = int(abs(table.sum(axis=0) - 1).argmax())
            raise ConfigError(f"{where}, {values[off]}: probabilities must sum to 1; got {table[:, off].sum():g}")
        return Wish(name="perturb", kinds=("perturb",), said=table)
    if detail is None:
        raise ConfigError(f"{where} needs a rate; write perturb: {{{group.name}: 0.9}}")
    probability(where, detail)
    return Wish(name="perturb", kinds=("perturb",), rate=float(detail))


def _both(factor: str, first: Wish, second: Wish, where: str) -> Wish:
    """Two wishes for one factor: only insert and correct go together."""
    if {*first.kinds, *second.kinds} <= {"insert", "correct"} and first.kinds != second.kinds:
        return Wish(name="faithful", kinds=("insert", "correct"))
    raise ConfigError(f"{where}: factor {factor!r} is under {first.name} and under {second.name}; keep one of them")


def _of_misalignment(given: Misalignment, lexicon: Lexicon) -> Target:
    """What makes captions such: left out, told, redrawn, or mentioned at a rate; of every factor of the lexicon."""
    wishes = {}
    for group in lexicon.groups:
        rate, channel = given.mention.get(group.name, 0.0), given.channels.get(group.name)
        if rate == 0.0:
            wishes[group.name] = Wish(name="omit", kinds=("omit",))
        elif isinstance(channel, Redraw) and rate == 1.0:
            wishes[group.name] = Wish(name="perturb", kinds=("perturb",), rate=channel.probability)
        elif channel is None and rate == 1.0:
            wishes[group.name] = Wish(name="faithful", kinds=("insert", "correct"))
        elif channel is None and isinstance(rate, float):
            wishes[group.name] = Wish(name="balance", kinds=("balance",), rate=rate)
        else:
            raise ConfigError(
                f"factor {group.name!r}: captions can mention it never, always, at one rate, or always with a uniform"
                f" redraw; got a mention of {rate!r:.40} and {channel!r:.40}"
            )
    if strange := sorted(given.selected - set(wishes)):
        raise ConfigError(unknown("factor", strange[0], wishes))
    return Target(wishes=wishes)


def _texts(given: Any, groups: Mapping[str, Group], where: str) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for text in given.values()):
        raise ConfigError(f"{where} must map factors to texts such as ', {{value}}'; got {given!r:.80}")
    for factor in given:
        if factor not in groups:
            raise ConfigError(f"{where}: {unknown('factor', factor, groups)}")
    return dict(given)


def _truth(given: Any, where: str) -> bool:
    if not isinstance(given, bool):
        raise ConfigError(f"{where} must be true or false; got {given!r:.40}")
    return given
