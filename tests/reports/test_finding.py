"""What is said of scores between floor and ceiling: it follows from them, and names them."""

from math import nan

import pytest
from tests.reports.scores import SAYS, scores

from vergence.reports.finding import board, headline, relation, terminal
from vergence.terminal import console


def test_the_headline_says_what_became_of_the_factor_that_captions_differ_in() -> None:
    assert headline(scores(), SAYS) == (
        "Skin tone: never mentioned → 0.17 and often wrong → 0.15, less than an untrained encoder (0.29); "
        "named → 0.80, near the ceiling (0.84)"
    )


def test_the_headline_of_several_seeds_gives_ranges() -> None:
    said = headline(scores("faithful", "omit", seeds=3), SAYS)
    assert "never mentioned → 0.13 to 0.17, less than" in said
    assert "named → 0.76 to 0.80" in said


def test_no_effect_is_not_said_to_be_one() -> None:
    flat = scores("faithful", "omit").assign(value=0.5)
    assert headline(flat, SAYS) == (
        "Skin tone: never mentioned → 0.50 and named → 0.50, between untrained (0.29) and the ceiling (0.84)"
    )
    learned = scores("faithful", "omit").assign(value=0.83)
    assert "never mentioned → 0.83 and named → 0.83, near the ceiling" in headline(learned, SAYS)


def test_captions_without_another_to_compare_with_are_described() -> None:
    assert headline(scores("faithful"), SAYS).startswith("Under faithful captions: skin tone 0.80 (0.29 untrained)")
    assert headline(scores("omit"), SAYS).startswith("Under omit captions: skin tone 0.17")
    assert headline(scores("omit").assign(value=nan), SAYS) == "Nothing was measured"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.1, "less than an untrained encoder (0.20)"),
        (0.3, "hardly more than an untrained encoder (0.20)"),
        (0.5, "between untrained (0.20) and the ceiling (0.80)"),
        (0.7, "near the ceiling (0.80)"),
        (0.9, "at the ceiling (0.80)"),
    ],
)
def test_a_score_is_placed_in_words(value: float, said: str) -> None:
    assert relation(value, floor=0.2, ceiling=0.8) == said


def test_without_room_between_the_ends_no_word_is_said() -> None:
    assert relation(0.4, floor=0.5, ceiling=0.5).startswith("where an untrained encoder has 0.50")


def test_the_board_shows_every_score_with_its_standing() -> None:
    rows = {row["name"]: row["cells"] for row in board(scores(seeds=2))}
    assert list(rows) == ["labels", "faithful", "omit", "perturb"]
    assert rows["omit"]["skin_tone"]["standing"] == "not learned"
    assert rows["omit"]["skin_tone"]["share"] == 0
    assert rows["faithful"]["skin_tone"]["standing"] == "learned"
    assert rows["faithful"]["skin_tone"]["seeds"] == "0.78 to 0.80"


def test_the_terminal_shows_floor_score_and_ceiling_within_80_columns() -> None:
    where = console(width=80)
    with where.capture() as shown:
        where.print(terminal(scores(), title=headline(scores(), SAYS)))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if line.split()[:1] == ["omit"] and "not learned" in line]
    assert line.split() == ["omit", "0.29", "0.17", "0.11–0.23", "0.84", "not", "learned", "as", "predicted"]
