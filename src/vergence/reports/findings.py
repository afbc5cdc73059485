"""What an audit found, in the order in which a reader needs it: what captions leave out and get wrong comes first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isnan, log10
from typing import Any

from vergence.corpus import BiasEstimate
from vergence.corpus.estimate import NOT_ASSESSABLE
from vergence.corpus.forecast import STATEMENTS, between, reach
from vergence.corpus.rates import NOT_DETERMINED

_NAMED = 3  # in a headline
_LISTED = 8  # in a line
_HARDLY, _SELDOM = 0.01, 0.1


@dataclass(frozen=True)
class Findings:
    """What an audit found.

    Args:
        headline: A sentence: what captions leave out or get wrong.
        points: What belongs to it, each a label and a sentence or list, the most important first.
    """

    headline: str
    points: tuple[tuple[str, str], ...]


def findings(
    coverage: Mapping[str, Any], estimate: BiasEstimate | None = None, forecast: Mapping[str, Any] | None = None
) -> Findings:
    """Say what captions leave out and get wrong.

    Args:
        coverage: What `coverage.json` holds.
        estimate: What captions omit and get wrong, if image labels were given.
        forecast: What follows: encoding_size and statements, as `coverage.json` holds it.

    Returns:
        With labels, by factor: what is left out, wrong, and what a model will learn of it; else by group of the
        lexicon: what is mentioned least. In both cases concepts that no caption mentions, frequent words outside of the
        lexicon, and languages other than the lexicon's.

    Example:
        >>> from vergence.corpus import Coverage, concepts_146
        >>> coverage = Coverage(concepts_146())
        >>> coverage.add(["a dog in the rain", "a red car", "a red cup"])
        >>> findings(coverage.to_dict()).headline
        'No caption mentions clothing, emotion, food and 8 more groups'
    """
    if not coverage["captions"]:
        return Findings("There is no caption", ())
    known = estimate is not None and (estimate.factors["note"] != NOT_ASSESSABLE).any()
    headline, points = _of_factors(estimate, forecast or {}) if known and estimate is not None else _of_groups(coverage)
    absent = [row["concept"] for row in coverage["concepts"] if row["captions"] == 0]
    if absent:
        points.append(("In no caption", f"{len(absent):,} of {len(coverage['concepts']):,} concepts: {_list(absent)}"))
    else:
        points.append(("In no caption", f"no concept is missing of {len(coverage['concepts']):,}"))
    if line := language_line(coverage["languages"], coverage["sample"]):
        points.insert(0, ("Other languages", line))
    if words := coverage["uncovered_words"]:
        where = "" if coverage["sample"]["whole"] else f"; {sampled(coverage['sample'])}"
        points.append(("Frequent, but not in the lexicon", f"{words_line(words)}{where}"))
    if not known:
        points.append(("Wrong values", f"{NOT_ASSESSABLE} (--labels)"))
    return Findings(headline, tuple(points))


def _of_factors(estimate: BiasEstimate, forecast: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """The headline says what captions teach where outputs suffice; the points, what follows at the user's size."""
    rows = {row["factor"]: row for row in estimate.factors.to_dict("records") if row["note"] != NOT_ASSESSABLE}
    options = {name: forecast[name] for name in ("bottleneck", "temperature") if name in forecast}
    taught = reach(estimate, **options)
    strongly = len(STATEMENTS) - 1
    weaker: dict[str, list[str]] = {}
    for name, (least, most) in sorted(taught.items(), key=lambda entry: entry[1]):
        if most < strongly:
            weaker.setdefault(between(least, most), []).append(f"{name} ({_cause(rows[name])})")
    unsure = [name for name, (least, _) in taught.items() if least < strongly]
    headline = "Captions teach " + _names(list(taught) or list(rows), "factors") + " strongly"
    if weaker:
        headline = "Captions teach " + " and ".join(f"{_names(own, 'factors')} {how}" for how, own in weaker.items())
    elif unsure:
        headline = f"Captions are not shown to teach {_names(unsure, 'factors')} strongly"
    points = _forecast_points(forecast)
    strengths = estimate.spectrum.drop_duplicates("factors").sort_values("strength", kind="stable")
    if len(strengths):
        said = (
            f"{row['factors'][0]} {row['strength']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            for row in strengths.to_dict("records")
        )
        points.append(("Strength, weakest first", _list(said)))
    omitted = [
        f"{name} (mentioned in {percent(row['selection'])})" for name, row in rows.items() if row["selection_high"] < 1
    ]
    wrong = [
        f"{name} (in {percent(row['wrong_value'])} of mentions)"
        for name, row in rows.items()
        if row["wrong_value_low"] > 0
    ]
    points += [(label, _list(own)) for label, own in (("At times left out", omitted), ("At times wrong", wrong)) if own]
    if estimate.not_assessable:
        points.append((NOT_ASSESSABLE.capitalize(), _list(estimate.not_assessable)))
    return headline, points


def _cause(row: Mapping[Any, Any]) -> str:
    """What captions do to a factor that they do not teach strongly."""
    causes = [f"mentioned in {percent(row['selection'])}"] if not row["selection"] >= 1 else []
    if row["wrong_value"] > 0:
        causes.append(f"wrong in {percent(row['wrong_value'])} of mentions")
    return ", ".join(causes) or "by these labels"


def conditions(forecast: Mapping[str, Any]) -> str:
    """The output size and bottleneck that a forecast is for; empty if it is for any.

    Example:
        >>> conditions({"encoding_size": 1, "bottleneck": 0.5, "temperature": 1.0})
        'at 1 output, β = 0.5, τ = 1'
    """
    n, beta = forecast.get("encoding_size"), forecast.get("bottleneck")
    said = [f"{n} output{'' if n == 1 else 's'}"] if n else []
    if beta:
        said.append(f"β = {beta:g}, τ = {forecast['temperature']:g}")
    return f"at {', '.join(said)}" if said else ""


def _forecast_points(forecast: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A point for each statement with its factors; beside what is not determined its reason."""
    where = f" {at}" if (at := conditions(forecast)) else ""
    said: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for row in forecast.get("statements", ()):
        if row["statement"] == NOT_DETERMINED:
            reasons.setdefault(row["reason"], []).append(row["factor"])
        elif row["statement"] != NOT_ASSESSABLE:
            said.setdefault(row["statement"], []).append(row["factor"])
    points = [(f"{statement.capitalize()}{where}", _list(factors)) for statement, factors in said.items()]
    if reasons:
        open_ones = [f"{_list(factors)}: {reason}" for reason, factors in reasons.items()]
        more = f"; {len(open_ones) - _NAMED} more reasons below" if len(open_ones) > _NAMED else ""
        points.append((f"{NOT_DETERMINED.capitalize()}{where}", f"{'; '.join(open_ones[:_NAMED])}{more}"))
    return points


def _of_groups(coverage: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    groups = sorted(coverage["groups"], key=lambda row: (row["share"], row["group"]))
    absent = [row["group"] for row in groups if not row["captions"]]
    present = [row for row in groups if row["captions"]]
    least = [f"{row['group']} ({percent(row['share'])})" for row in present]
    points = [("Least mentioned groups", _list(least))] if present else []
    concepts = sorted(coverage["concepts"], key=lambda row: (row["share"], row["group"], row["concept"]))
    rare = [f"{row['concept']} ({percent(row['share'])})" for row in concepts if row["captions"]]
    if rare:
        points.append(("Least mentioned concepts", _list(rare)))
    if absent:
        return f"No caption mentions {_names(absent, 'groups')}", points
    share = present[0]["share"]
    if share >= _SELDOM:
        return f"Captions mention every group, least often {least[0]}", points
    close = [name for name, row in zip(least, present, strict=True) if row["share"] <= 10 * share]
    return f"Captions {'hardly' if share < _HARDLY else 'seldom'} mention {_names(close[:_NAMED], 'groups')}", points


def language_line(languages: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """What share of the captions looks written in which other language than the lexicon's; empty if hardly any.

    Args:
        languages: As `vergence.corpus.vocabulary` gives them.
        sample: Likewise.
    """
    rows = [row for row in languages["found"] if row["language"] in languages["unlike"]]
    if not rows:
        return ""
    about = "" if sample["whole"] else "about "
    parts: list[str] = []
    for row in rows[:_NAMED]:
        words = f" (words such as {', '.join(row['words'])})" if row["words"] else ""
        verb = "" if parts else "of captions look "
        limits = f"{percent(row['low']).removesuffix(' %')} to {percent(row['high'])}"
        parts.append(f"{about}{percent(row['share'])} ({limits}) {verb}{row['language']}{words}")
    mine = f"is in {languages['lexicon']}" if languages["stated"] else "does not state its language"
    # The share of captions in which something is found, over all of these languages.
    found = sum(row["mentioning"] * row["captions"] for row in rows) / sum(row["captions"] for row in rows)
    more = f" and {len(rows) - _NAMED} more languages" if len(rows) > _NAMED else ""
    lines = f"{', '.join(parts)}{more}. The lexicon {mine} and finds something in {percent(found)} of them"
    return f"{lines[0].upper()}{lines[1:]}; {sampled(sample)}, limits are 95 % intervals"


def sampled(sample: Mapping[str, Any]) -> str:
    """Which captions were looked at for words and languages."""
    if sample["whole"]:
        return f"all {sample['captions']:,} captions were looked at"
    return f"in a sample of {sample['captions']:,} captions, {sample['different']:,} different ones"


def words_line(words: Sequence[Mapping[str, Any]], most: int = _LISTED) -> str:
    """The most frequent words that no concept covers, with their shares."""
    return _list((f"{row['word']} ({percent(row['share'])})" for row in words), most)


def percent(share: float) -> str:
    """A share as a percentage with two significant digits, more above ten.

    Example:
        >>> percent(0.0216), percent(0.000003), percent(0.5), percent(0)
        ('2.2 %', '0.00030 %', '50 %', '0 %')
    """
    if share is None or isnan(share):
        return "–"
    if share == 0:
        return "0 %"
    digits = max(0, 1 - floor(log10(abs(share) * 100)))
    return f"{share * 100:.{digits}f} %"


def _names(names: Sequence[str], what: str) -> str:
    """Names for a headline: three of them, and how many more.

    Example:
        >>> _names(["hue"], "factors"), _names(["hue", "size"], "factors"), _names(list("abcde"), "factors")
        ('hue', 'hue and size', 'a, b, c and 2 more factors')
    """
    if len(names) > _NAMED:
        more = len(names) - _NAMED
        return f"{', '.join(names[:_NAMED])} and {more} more {what if more > 1 else what.removesuffix('s')}"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _list(names: Iterable[str], most: int = _LISTED) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
