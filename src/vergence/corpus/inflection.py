"""English inflection by rule, for lexicons that ask for it; the last word of a phrase is the one inflected."""

from types import MappingProxyType

INFLECTIONS = ("noun", "verb")

_PLURALS = MappingProxyType(
    {
        "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet", "tooth": "teeth",
        "goose": "geese", "mouse": "mice", "ox": "oxen", "leaf": "leaves", "loaf": "loaves", "half": "halves",
        "calf": "calves", "wolf": "wolves", "shelf": "shelves", "elf": "elves", "scarf": "scarves", "thief": "thieves",
        "knife": "knives", "wife": "wives", "life": "lives", "hero": "heroes", "potato": "potatoes",
        "tomato": "tomatoes", "echo": "echoes", "bus": "buses", "gas": "gases", "quiz": "quizzes",
        "sheep": "sheep", "deer": "deer", "fish": "fish", "aircraft": "aircraft", "cattle": "cattle",
        "police": "police", "series": "series", "species": "species",
    }
)  # fmt: skip
_VOWELS = "aeiou"


def inflected(form: str, kind: str) -> tuple[str, ...]:
    """A form and its inflected forms.

    Args:
        form: A word or phrase in lower case; only its last word is inflected.
        kind: "noun" for the plural, "verb" for -s, -ing and -ed.

    Returns:
        The form itself, then the others, each once.

    Example:
        >>> inflected("police officer", "noun"), inflected("bake", "verb")
        (('police officer', 'police officers'), ('bake', 'bakes', 'baking', 'baked'))
    """
    head, space, word = form.rpartition(" ")
    if not (word.isascii() and word.isalpha()):
        return (form,)
    ends = (_plural(word),) if kind == "noun" else (_third_person(word), _suffixed(word, "ing"), _suffixed(word, "ed"))
    return tuple(dict.fromkeys([form, *(head + space + end for end in ends)]))


def _plural(word: str) -> str:
    for singular, plural in _PLURALS.items():
        # Compounds follow their last part: fireman, snowman; but human does not end in the word man.
        if word == singular or (singular in ("man", "woman") and word.endswith(singular) and word[-5:] != "human"):
            return word[: len(word) - len(singular)] + plural
    # Most nouns that already end in a single s are plurals: pants, trousers, socks.
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word
    return _third_person(word)


def _third_person(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and len(word) > 1 and word[-2] not in _VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _suffixed(word: str, suffix: str) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying" if suffix == "ing" else word + "d"
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return word[:-1] + suffix
    if word.endswith(("ee", "oe", "ye")):
        return word + ("d" if suffix == "ed" else suffix)
    if suffix == "ed" and word.endswith("y") and len(word) > 1 and word[-2] not in _VOWELS:
        return word[:-1] + "ied"
    one_vowel = sum(letter in _VOWELS for letter in word) == 1
    if one_vowel and len(word) > 2 and word[-1] not in "aeiouwxy" and word[-2] in _VOWELS:
        return word + word[-1] + suffix
    return word + suffix
