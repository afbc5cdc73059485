"""What a curation plans and what it has done: tables for a terminal, and a page with captions before and after."""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from rich.table import Table

from vergence.corpus import BiasEstimate, wilson
from vergence.curation import Curation, Planned
from vergence.curation.writing import ACCEPTED
from vergence.reports.findings import percent
from vergence.reports.page import Section, build_page, grid, prose
from vergence.terminal import grid as terminal_grid

_MOST_VALUES = 24  # of a factor, in tables
_SAMPLES = 12  # of each operator on the page
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
_TITLES: Mapping[str, str] = {
    "omit": "Left out",
    "insert": "Added",
    "correct": "Put right",
    "perturb": "Redrawn",
    "balance": "Balanced",
    "deduplicate": "There before, and emptied",
    "rewrite": "Written anew by the model",
}


def order_table(planned: Planned) -> Table:
    """What is done to each value, and how many captions mention it, for a terminal."""
    headings = ("factor", "value", "operator", "share", "mentioned in", "labelled images")
    mentioned, rows = planned.survey.mentioned(), []
    for (factor, operator), part in planned.policy.orders.groupby(["factor", "operator"], sort=False):
        listed = [(row, mentioned.get((str(factor), str(row["value"])), 0)) for row in part.to_dict("records")]
        if part["share"].nunique() == 1 and len(listed) > 1:  # one line for all values
            labelled = _count(part["captions"].sum(min_count=1))
            total = sum(times for _, times in listed)
            rows.append((factor, f"all {len(part)}", operator, percent(part["share"].iloc[0]), f"{total:,}", labelled))
            continue
        rows += [
            (factor, row["value"], operator, percent(row["share"]), f"{times:,}", _count(row["captions"]))
            for row, times in listed[:_MOST_VALUES]
        ]
        if len(listed) > _MOST_VALUES:
            rows.append((factor, f"… {len(listed) - _MOST_VALUES} more", operator, "", "", ""))
    return terminal_grid(headings, rows, left=headings[:3], pad_edge=False)


def strength_table(planned: Planned) -> Table:
    """Strengths and scores before and after, for a terminal."""
    headings, rows = strength_rows(planned)
    return terminal_grid(headings, rows, left=headings[:1], pad_edge=False)


def strength_rows(planned: Planned) -> tuple[list[str], list[list[str]]]:
    """For each factor its strength before, as planned, and as the edited sample has it; scores if there is a size."""
    table = planned.policy.strengths
    scored = "score_after_low" in table
    headings = ["factor", "strength before", "planned", "in the sample after"]
    headings += ["score before (0 floor, 1 ceiling)", "score after"] if scored else []
    found = _strengths(planned.after)
    rows = []
    for row in table.to_dict("records"):
        cells = [
            str(row["factor"]),
            _interval(row["before"], row["low"], row["high"]),
            _number(row["after"]),
            _interval(*found.get(str(row["factor"]), (float("nan"),) * 3)),
        ]
        if scored:
            cells += [_range(row["score_before_low"], row["score_before_high"])]
            cells += [_range(row["score_after_low"], row["score_after_high"])]
        rows.append(cells)
    return headings, rows


def cost_lines(planned: Planned) -> list[str]:
    """What a plan costs, and what it cannot do."""
    survey, tried = planned.survey, planned.tried.counts
    low, high = (float(end[0]) for end in wilson(np.array([tried["edited"]]), max(1, tried["captions"])))
    share = f"{percent(planned.touched)} ({percent(low)} to {percent(high)})"
    of = f"{survey.captions:,} captions in {len(planned.files)} file{'s' if len(planned.files) != 1 else ''}"
    lines = [
        f"{of}, {planned.bytes / 1e6:,.1f} MB, are read and written anew",
        f"captions that change: about {planned.touched * survey.captions:,.0f}, {share}, by {survey.sample:,} of them",
    ]
    if survey.labels is not None:
        lines.append(f"captions whose image has labels: {survey.labelled:,}")
        lines += [
            f"{factor}: labels of {times:,} keys contradict one another and count as none"
            for factor, times in survey.labels.contradictory.items()
        ]
    lines += [f"out of reach: {line}" for line in planned.policy.unreachable]
    for (factor, reason), times in planned.tried.refused.most_common():
        lines.append(f"left as it was: {factor}, {percent(times / max(1, tried['captions']))} of captions: {reason}")
    return lines


def done_lines(curation: Curation) -> list[str]:
    """What was done, in a few lines."""
    counts = curation.tally.counts
    lines = [f"{counts['edited']:,} of {counts['captions']:,} captions edited, in {counts['edits']:,} places"]
    for (factor, operator), times in sorted(curation.tally.edits.items()):
        lines.append(f"{factor}: {times:,} captions, {operator}")
    for (factor, reason), times in curation.tally.refused.most_common():
        lines.append(f"left as it was: {times:,} captions, {factor}: {reason}")
    for factor, times in sorted(curation.tally.unlabelled.items()):
        lines.append(f"without a label: {times:,} captions, {factor}")
    lines += [f"written anew by the model: {times:,} captions, {what}" for what, times in _rewrites(curation)]
    for what in ("null", "unusable"):
        if counts[what]:
            lines.append(f"not looked at: {counts[what]:,} captions, {what}")
    return lines


def curation_html(planned: Planned, curation: Curation, *, about: Mapping[str, object], when: str) -> str:
    """The page of a curation.

    Args:
        planned: What was planned.
        curation: What was done.
        about: How it was made.
        when: A line above the headline.

    Returns:
        One HTML page that needs no other file and no network; every caption is escaped.
    """
    tally = curation.tally
    counts = tally.counts
    share = counts["edited"] / max(1, counts["captions"])
    what = "; ".join(
        f"{action.factor} {' and '.join(_PAST[kind] for kind in action.kinds)}" for action in planned.policy.actions
    )
    what += ("; " if what else "") + "repeated ones emptied" if planned.policy.target.deduplicate else ""
    headings, rows = strength_rows(planned)
    sections = [
        Section("Captions before and after", _samples(tally.samples)),
        Section("Coverage before and after", _coverage(planned, curation)),
        *([Section("What captions teach", _taught(headings, rows))] if planned.before is not None else []),
        *_channels(planned),
        Section("Left as it was", _refused(curation)),
    ]
    return build_page(
        kicker=when,
        headline=f"{counts['edited']:,} of {counts['captions']:,} captions changed: {what}",
        lede=f"{percent(share)} of the captions, in {counts['edits']:,} places, each a row of edits.parquet.",
        claims=[],
        sections=sections,
        about=about,
        notes=list(planned.policy.unreachable),
    )


_PAST: Mapping[str, str] = {
    "omit": "left out", "insert": "added", "correct": "put right", "perturb": "redrawn", "balance": "balanced",
}  # fmt: skip


def _samples(samples: Mapping[str, Sequence[tuple[str, str]]]) -> Markup:
    parts = []
    for operator, found in samples.items():
        rows = [[number, *marked(*pair)] for number, pair in enumerate(found[:_SAMPLES], 1)]
        parts.append(prose(f"{_TITLES.get(operator, operator)}: the first of them."))
        parts.append(grid(["", "before", "after"], rows, label=f"Captions before and after: {operator}"))
    return Markup("\n").join(parts) if parts else prose("No caption was changed.")


def marked(before: str, after: str) -> tuple[Markup, Markup]:
    """Two texts, with what differs marked; everything escaped.

    Example:
        >>> marked("a red <b>", "a <b>")
        (Markup('a<del> red</del> &lt;b&gt;'), Markup('a &lt;b&gt;'))
    """
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    sides: tuple[list[Markup], list[Markup]] = [], []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for side, piece, tag in ((sides[0], old[a:b], "del"), (sides[1], new[c:d], "ins")):
            if piece:
                text = Markup("{}").format("".join(piece))
                side.append(text if kind == "equal" else Markup(f"<{tag}>{{}}</{tag}>").format(text))
    return Markup("").join(sides[0]), Markup("").join(sides[1])


def _coverage(planned: Planned, curation: Curation) -> Markup:
    n = max(1, curation.tally.counts["captions"])
    changed = {action.factor for action in planned.policy.actions}
    rows: list[list[Any]] = []
    for group in planned.survey.lexicon.groups:
        for concept in group.concepts[:_MOST_VALUES]:
            before = curation.tally.before[group.name, concept.name] / n
            after = curation.tally.after[group.name, concept.name] / n
            if group.name in changed or before != after:
                rows.append([group.name, concept.name, percent(before), percent(after), (before, after)])
    top = max((max(row[4]) for row in rows), default=0.0) or 1.0
    rows = [[*row[:4], _bars(*(share / top for share in row[4]))] for row in rows]
    headings = ["factor", "value", "before", "after", f"grey before, dark after; 0 to {percent(top)}"]
    return grid(headings, rows, label="Coverage before and after", numbers=headings[2:4])


def _bars(before: float, after: float) -> Markup:
    one = (
        '<svg width="160" height="18" viewBox="0 0 160 18" aria-hidden="true">'
        '<rect width="{:.1f}" height="7" fill="currentColor" opacity="0.35"></rect>'
        '<rect y="9" width="{:.1f}" height="7" fill="currentColor"></rect></svg>'
    )
    return Markup(one).format(160 * before, 160 * after)


def _taught(headings: list[str], rows: list[list[str]]) -> Markup:
    return prose(
        "Strengths σ are in [0, 1]: 0 where captions tell nothing, 1 where they always tell. What was planned follows "
        "from the captions before; the last is estimated from the same captions as they are now, with 95 % intervals."
    ) + grid(headings, rows, label="Strengths before and after", numbers=headings[1:])


def _channels(planned: Planned) -> list[Section]:
    """What is said by what is shown, before and after, of each labelled factor that changed."""
    if planned.before is None or planned.after is None:
        return []
    found = []
    for action in planned.policy.actions:
        tables = [_table(estimate, action.factor) for estimate in (planned.before, planned.after)]
        if any(table.empty or len(table.columns) > _MOST_VALUES for table in tables):
            continue
        parts = [_selection(planned.before, planned.after, action.factor)]
        for name, table in zip(("Before", "After"), tables, strict=True):
            rows = [
                [said, *(f"{value:,.0f}" for value in row)]
                for said, row in zip(table.index, table.to_numpy(), strict=True)
            ]
            columns = [str(column) for column in table.columns]
            parts.append(prose(f"{name}: captions by what they say (rows) and what their images show (columns)."))
            parts.append(grid(["said", *columns], rows, label=f"{name}: {action.factor}", numbers=columns))
        found.append(Section(f"The channel of {action.factor}", Markup("\n").join(parts)))
    return found


def _selection(before: BiasEstimate, after: BiasEstimate, factor: str) -> Markup:
    rows = []
    for name, estimate in (("before", before), ("after", after)):
        row = estimate.factors.set_index("factor").loc[factor]
        rows.append(
            [
                name,
                *(
                    "not determined" if pd.isna(row[rate])
                    else f"{percent(row[rate])} ({percent(row[f'{rate}_low'])} to {percent(row[f'{rate}_high'])})"
                    for rate in ("selection", "wrong_value", "rho")
                ),
            ]
        )  # fmt: skip
    return grid(["", "mentioned in", "wrong in", "redrawn (ρ)"], rows, label=f"Rates of {factor}")


def _table(estimate: BiasEstimate, factor: str) -> pd.DataFrame:
    cells = estimate.tables[estimate.tables["factor"] == factor]
    table = cells.pivot_table(index="said", columns="shown", values="captions", sort=False, aggfunc="sum")
    kept: pd.DataFrame = table.loc[table.sum(axis=1) > 0, table.sum(axis=0) > 0]
    return kept


def _refused(curation: Curation) -> Markup:
    rows = [[factor, reason, f"{times:,}"] for (factor, reason), times in curation.tally.refused.most_common()]
    rows += [
        [factor, "no label says what its image shows", f"{n:,}"]
        for factor, n in sorted(curation.tally.unlabelled.items())
    ]
    rows += [
        ["any", f"{what} captions", f"{curation.tally.counts[what]:,}"]
        for what in ("null", "unusable")
        if curation.tally.counts[what]
    ]
    rows += [["any", f"written anew by the model, {what}", f"{n:,}"] for what, n in _rewrites(curation)[1:]]
    if not rows:
        return prose("Nothing: every edit that was asked for was made.")
    return grid(["factor", "why", "captions"], rows, label="Left as it was", numbers=["captions"])


def _rewrites(curation: Curation) -> list[tuple[str, int]]:
    """What became of captions that a model wrote: those that were taken, then the others by why not."""
    found = curation.tally.rewrites
    if not found:
        return []
    refused = [(f"refused: {why}", times) for why, times in found.most_common() if why != ACCEPTED]
    return [("taken", found[ACCEPTED]), *refused]


def _strengths(estimate: BiasEstimate | None) -> dict[str, tuple[float, float, float]]:
    if estimate is None:
        return {}
    silent = set(estimate.factors.loc[(estimate.factors["selection"] == 0), "factor"])
    found: dict[str, tuple[float, float, float]] = {}
    for row in estimate.spectrum.drop_duplicates("factors").to_dict("records"):
        name = row["factors"][0]
        found[name] = (0.0, 0.0, row["high"]) if name in silent else (row["strength"], row["low"], row["high"])
    return found


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _interval(value: Any, low: Any, high: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _range(low: Any, high: Any) -> str:
    return "–" if pd.isna(low) else f"{low:.2f} to {high:.2f}"


def _count(number: Any) -> str:
    return "–" if pd.isna(number) else f"{number:,.0f}"


__all__ = ["cost_lines", "curation_html", "done_lines", "marked", "order_table", "strength_table"]
