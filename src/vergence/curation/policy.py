"""From what captions say and what they are to say: what is done to each value, how often, and what it will buy.

Strengths before are those that the audit estimates. Strengths after follow from its said × shown tables by what is done
to them; what cannot be edited stays in the table as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from vergence.corpus import BiasEstimate
from vergence.corpus.channel import NOTHING, SEVERAL
from vergence.corpus.forecast import of_such_captions
from vergence.corpus.lexicon import Group, Lexicon
from vergence.curation.actions import Action
from vergence.curation.target import Target, Wish, target_of
from vergence.errors import ConfigError
from vergence.misalignment import Misalignment
from vergence.theory import of_table, predict


@dataclass(frozen=True, eq=False)
class CurationPolicy:
    """What is done to captions, and what follows.

    Args:
        target: What is wanted.
        actions: One for each factor that is to change.
        orders: By factor and value: operator, share (of mentions that go or change, or of silent captions that speak),
            captions (labelled ones that it is estimated from).
        strengths: By factor: strength before with low and high, strength after; NaN without labels. With an output
            size, score_before and score_after: the least and the most on the scale from floor (0) to ceiling (1).
        unreachable: What cannot be done, in a line each.
    """

    target: Target
    actions: tuple[Action, ...]
    orders: pd.DataFrame
    strengths: pd.DataFrame
    unreachable: tuple[str, ...]


def plan_curation(
    estimate: BiasEstimate | None,
    target: Target | Misalignment | Mapping[str, Any],
    lexicon: Lexicon,
    *,
    encoding_size: int | None = None,
    bottleneck: float = 0.0,
    temperature: float | None = None,
    refused: Mapping[str, float] = MappingProxyType({}),
) -> CurationPolicy:
    """Plan what to do to captions.

    Args:
        estimate: What captions omit and get wrong; `None` without labels of what images show.
        target: What is wanted.
        lexicon: Groups are factors.
        encoding_size: The model's output size, for scores.
        bottleneck: β, at least 0.
        temperature: τ, where there is a bottleneck.
        refused: By factor, the share of captions that should be edited and cannot be.

    Raises:
        ConfigError: If the target needs labels and there are none, or names an unknown factor.

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.corpus import estimate_misalignment, lexicon_from_factors
        >>> lexicon = lexicon_from_factors(FactorSpace((Factor("size", ("small", "big")),)))
        >>> labels = pd.DataFrame({"size": ["small", "small", "big", "big"] * 50})
        >>> estimate = estimate_misalignment(["a small cup", "small", "big", "big"] * 50, labels, lexicon)
        >>> policy = plan_curation(estimate, {"perturb": {"size": 0.5}}, lexicon)
        >>> policy.strengths[["factor", "before", "after"]].round(2).values.tolist()
        [['size', 1.0, 0.5]]
    """
    wanted = target if isinstance(target, Target) else target_of(target, lexicon)
    labelled = set() if estimate is None else set(estimate.factors["factor"]) - set(estimate.not_assessable)
    groups = {group.name: group for group in lexicon.groups}
    actions, orders, cannot = [], [], []
    for factor, wish in wanted.wishes.items():
        needs = {"insert", "correct", "balance"} & set(wish.kinds)
        if needs and factor not in labelled:
            cannot.append(
                f"{factor}: to {' and '.join(sorted(needs))} it takes labels of what images show; there are none"
            )
            continue
        action = _action(groups[factor], wish, estimate)
        actions.append(action)
        orders += _orders(action, groups[factor], estimate)
        if share := refused.get(factor, 0.0):
            cannot.append(
                f"{factor}: {100 * share:.2g} % of the captions that it is to change have no safe place for it"
            )
    if not actions and not wanted.deduplicate:
        raise ConfigError(f"nothing can be done: {'; '.join(cannot)}")
    columns = ["factor", "value", "operator", "share", "captions"]
    return CurationPolicy(
        target=wanted,
        actions=tuple(actions),
        orders=pd.DataFrame(orders, columns=columns),
        strengths=_strengths(estimate, actions, lexicon, refused, (encoding_size, bottleneck, temperature)),
        unreachable=tuple(cannot),
    )


def _action(group: Group, wish: Wish, estimate: BiasEstimate | None) -> Action:
    k = len(group.concepts)
    omitted, inserted, said = np.zeros(k), np.zeros(k), wish.said
    if "omit" in wish.kinds:
        omitted[:] = wish.rate or 0.0
    if "insert" in wish.kinds:
        inserted[:] = 1.0
    if "perturb" in wish.kinds and said is None:
        rate = wish.rate or 0.0
        said = (1 - rate) * np.eye(k) + rate / k
    if "balance" in wish.kinds:
        assert estimate is not None
        now = _mentioned(estimate, group)
        aim = float(np.nanmin(now)) if wish.rate is None else wish.rate
        omitted = np.where(now > aim, 1 - aim / np.where(now > 0, now, 1), 0.0)
        inserted = np.where(now < aim, (aim - now) / np.where(now < 1, 1 - now, 1), 0.0)
    return Action(
        factor=group.name, kinds=wish.kinds, omitted=omitted, inserted=inserted, said=said, generic=bool(wish.generic)
    )


def _mentioned(estimate: BiasEstimate, group: Group) -> Float64[np.ndarray, " values"]:
    """By value shown, the share of captions that say anything; NaN for a value that no image shows."""
    joint = _joint(estimate, group)
    shown = joint.sum(axis=0)
    return np.where(shown > 0, 1 - joint[-1] / np.where(shown > 0, shown, 1), np.nan)


def _joint(estimate: BiasEstimate, group: Group) -> Float64[np.ndarray, "said shown"]:
    """Captions by what they say (values, several, nothing) and what their images show."""
    values = [concept.name for concept in group.concepts]
    said = {name: place for place, name in enumerate([*values, SEVERAL, NOTHING])}
    joint = np.zeros((len(said), len(values)))
    for row in estimate.tables[estimate.tables["factor"] == group.name].to_dict("records"):
        joint[said[row["said"]], values.index(row["shown"])] += max(0.0, row["captions"])
    return joint


def _orders(action: Action, group: Group, estimate: BiasEstimate | None) -> list[tuple[Any, ...]]:
    joint = None if estimate is None else _joint(estimate, group)
    found: list[tuple[Any, ...]] = []
    for place, concept in enumerate(group.concepts):
        shown = np.nan if joint is None else joint[:, place].sum()
        if "omit" in action.kinds:
            found.append((group.name, concept.name, "omit", action.omitted[place], shown))
        if "insert" in action.kinds:
            found.append((group.name, concept.name, "insert", action.inserted[place], shown))
        if "correct" in action.kinds:
            found.append((group.name, concept.name, "correct", 1.0, shown))
        if action.said is not None:
            found.append((group.name, concept.name, "perturb", 1 - action.said[place, place], shown))
        if "balance" in action.kinds:
            gone = action.omitted[place] > 0
            share = action.omitted[place] if gone else action.inserted[place]
            found.append((group.name, concept.name, "balance: omit" if gone else "balance: insert", share, shown))
    return found


def curated(joint: Float64[np.ndarray, "said shown"], action: Action) -> Float64[np.ndarray, "said shown"]:
    """What captions say by what their images show after an action.

    Args:
        joint: The same before: values, several, nothing by values; probabilities or counts.
        action: What is done.

    Example:
        >>> half = Action(factor="hue", kinds=("omit",), omitted=np.array([0.5, 0.5]), inserted=np.zeros(2))
        >>> curated(np.array([[4.0, 0], [0, 4], [0, 0], [0, 0]]), half).tolist()
        [[2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.0, 2.0]]
    """
    after, k = joint.copy(), joint.shape[1]
    values = np.arange(k)
    if action.said is not None:
        after[:k] = action.said @ joint[:k] + action.said * joint[k]
        after[k] = 0
    if "correct" in action.kinds:
        told = after[: k + 1].sum(axis=0)
        after[: k + 1] = 0
        after[values, values] = told
    share = np.tile(action.omitted, (k + 1, 1))
    if "omit" in action.kinds:
        share = np.tile(np.append(action.omitted, action.omitted.max(initial=0))[:, None], (1, k))
    silent = after[-1].copy()
    after[-1] += (share * after[:-1]).sum(axis=0)
    after[:-1] *= 1 - share
    after[values, values] += action.inserted * silent
    after[-1] -= action.inserted * silent
    return after


def _strengths(
    estimate: BiasEstimate | None, actions: list[Action], lexicon: Lexicon, refused: Mapping[str, float],
    at: tuple[int | None, float, float | None],
) -> pd.DataFrame:  # fmt: skip
    """Strengths before and after, and scores if there is an output size."""
    columns = ["factor", "before", "low", "high", "after"]
    if estimate is None:
        rows = [(action.factor, *[np.nan] * 3, 0.0 if _never(action, refused) else np.nan) for action in actions]
        return pd.DataFrame(rows, columns=columns)
    before = of_such_captions(estimate)
    own = {name: before[before["factors"] == (name,)] for name in dict.fromkeys(one[0] for one in before["factors"])}
    after, rows = dict(own), []
    for group in lexicon.groups:
        action = next((one for one in actions if one.factor == group.name), None)
        if group.name not in own:
            if action is not None:
                rows.append((group.name, np.nan, np.nan, np.nan, 0.0 if _never(action, refused) else np.nan))
            continue
        leading = own[group.name].iloc[0]
        strongest = float(leading["strength"])
        if action is not None:
            joint, share = _joint(estimate, group), 1 - refused.get(group.name, 0.0)
            found = of_table(share * curated(joint, action) + (1 - share) * joint)
            after[group.name] = _spectrum(group.name, found, int(own[group.name]["multiplicity"].sum()))
            strongest = float(after[group.name]["strength"].iloc[0])
        rows.append((group.name, leading["strength"], leading["low"], leading["high"], strongest))
    table = pd.DataFrame(rows, columns=columns)
    size, bottleneck, temperature = at
    if size is not None:
        space = estimate.space
        for name, spectrum in (("score_before", before), ("score_after", pd.concat(after.values(), ignore_index=True))):
            told = predict(space, spectrum, encoding_size=size, bottleneck=bottleneck, temperature=temperature)
            table[f"{name}_low"] = [told[f].low if f in told else np.nan for f in table["factor"]]
            table[f"{name}_high"] = [told[f].high if f in told else np.nan for f in table["factor"]]
    return table


def _never(action: Action, refused: Mapping[str, float]) -> bool:
    """Whether no caption mentions the factor after it."""
    return "omit" in action.kinds and bool((action.omitted == 1).all()) and not refused.get(action.factor)


def _spectrum(factor: str, found: np.ndarray, directions: int) -> pd.DataFrame:
    strengths = np.zeros(directions)
    strengths[: len(found)] = found[:directions]
    strengths = strengths.round(9)
    return pd.DataFrame(
        {
            "factors": pd.Series([(factor,)] * directions, dtype=object), "order": 1, "strength": strengths,
            "multiplicity": 1, "low": strengths, "high": strengths, "how": "table",
        }
    )  # fmt: skip


__all__ = ["CurationPolicy", "curated", "plan_curation"]
