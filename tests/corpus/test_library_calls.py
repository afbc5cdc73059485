"""What a library call says to values of a wrong type: one line. Without the shape hook, which would speak first."""

import json
import subprocess
import sys

CALLS = r"""
import json
import numpy as np, pandas as pd, pyarrow as pa
from vergence.corpus import Concept, Coverage, Group, Lexicon, Matcher
from vergence.errors import VergenceError

dog = Lexicon("pets", (Group("animal", (Concept("dog"),)),))
wrong = {
    "captions": [
        [1, 2], ["dog", 2.5], ["dog", ["dog"]], ["dog", b"\xff"], ["a", "\ud800"], "a dog", b"a dog", {"a dog": 1},
        pd.DataFrame({"caption": ["a dog"]}), np.array([["a dog"]]), np.array("a dog"),
        pa.table({"caption": ["a dog"]}), pa.array([1]), pa.array([["a dog"]]), 7, None,
    ],
    "lexicons": [
        lambda: Concept(3), lambda: Concept(None), lambda: Concept("\ud800"), lambda: Concept("a\0b"),
        lambda: Concept("dog", "dog"), lambda: Concept("dog", None), lambda: Concept("dog", {"dog", "puppy"}),
        lambda: Concept("dog", ("dog", 3)), lambda: Concept("dog", (b"dog",)), lambda: Concept("dog", ("a\x1bb",)),
        lambda: Concept("dog", ("\xad \xa0",)), lambda: Concept("dog", ("x" * 5000,)),
        lambda: Concept("dog", exclude=("Dog",)), lambda: Concept("hot dog", exclude=("hot\xa0dog",)),
        lambda: Concept("dog", inflect=True),
        lambda: Group("g", Concept("dog")), lambda: Group("g", ("dog",)), lambda: Group(1, (Concept("dog"),)),
        lambda: Group("g", (Concept("dog"),), tier=1),
        lambda: Lexicon("x", dog.groups[0]), lambda: Lexicon("x", dog.groups, "no"),
        lambda: Lexicon("x", dog.groups, source="\udfff"), lambda: Lexicon("x", (Concept("dog"),)),
    ],
}

def answer(call):
    try:
        return f"accepted: {call()!r}"
    except VergenceError as error:
        return str(error)

matcher = Matcher(dog)
right = [
    np.array(["a dog", "a cat"]), np.array(["a dog", "a cat"], dtype=object), pd.Series(["a dog", "a cat"]),
    pd.Series(["a dog", np.nan]), pd.Series(["a dog", None], dtype="string"), pd.Series(["a dog", pd.NA]),
    pd.Categorical(["a dog", "a cat"]), [b"a dog", "a cat"], ("a dog", None), (text for text in ("a dog", "a cat")),
    pa.array(["a dog", None]).dictionary_encode(),
]
coverage = Coverage(dog)
print(json.dumps({
    "captions": [answer(lambda: matcher.mentions(each).sets()) for each in wrong["captions"]],
    "coverage": [answer(lambda: coverage.add(each)) for each in wrong["captions"]],
    "lexicons": [answer(each) for each in wrong["lexicons"]],
    "right": [[sorted(numbers) for numbers in matcher.mentions(each).sets()] for each in right],
    "forms": Concept("dog", (form for form in ("dog", "pup"))).forms,
}))
"""
OF_CAPTIONS = [
    "caption 0 must be text or missing; got int: 1",
    "caption 1 must be text or missing; got float: 2.5",
    "caption 1 must be text or missing; got list: ['dog']",
    "caption 1 must be text or missing; got bytes: b'\\xff'",
    "caption 1 must be text or missing; got str: '\\ud800'",
    "captions must be a list or an array of text; got str: 'a dog'",
    "captions must be a list or an array of text; got bytes: b'a dog'",
    "captions must be a list or an array of text; got dict: {'a dog': 1}",
    "captions must be a list or an array of text; got DataFrame: caption 0 a dog",
    "captions must be a list or an array of text; got ndarray: array([['a dog']], dtype='<U5')",
    "captions must be a list or an array of text; got ndarray: array('a dog', dtype='<U5')",
    "captions must be a list or an array of text; got Table",
    "captions must be text; got an array of int64",
    "captions must be text; got an array of list<item: string>",
    "captions must be a list or an array of text; got int: 7",
    "captions must be a list or an array of text; got NoneType: None",
]
OF_LEXICONS = [
    "a concept's name must be text; got the int 3",
    "a concept's name must be text; got the NoneType None",
    "a concept's name holds a lone surrogate, '\\ud800'; remove it",
    "a concept's name holds a control character, '\\x00'; remove it",
    "forms of concept 'dog' must be a list; got the string 'dog'",
    "forms of concept 'dog' must be a list; got the NoneType None",
    "forms of concept 'dog' must be a list; got the set {",
    "a phrase in forms of concept 'dog' must be text; got the int 3",
    "a phrase in forms of concept 'dog' must be text; got the bytes b'dog'",
    "a phrase in forms of concept 'dog' holds a control character, '\\x1b'; remove it",
    "a phrase in forms of concept 'dog' must not be empty; got '\\xad \\xa0'",
    "a phrase in forms of concept 'dog' may have 4096 characters; got 5000: 'xxxx",
    "concept 'dog' excludes its own form 'Dog', which then never counts; remove it from forms or from exclude",
    "concept 'hot dog' excludes its own form 'hot\\xa0dog', which then never counts",
    "unknown inflection True; known: noun, verb",
    "concepts of group 'g' must be a list; got the Concept Concept(",
    "concepts of group 'g' must be a list of Concept; got the string 'dog'",
    "a group's name must be text; got the int 1",
    "the tier of group 'g' must be text; got the int 1",
    "groups of lexicon 'x' must be a list; got the Group Group(",
    "negation of lexicon 'x' must be a list; got the string 'no'",
    "the source of lexicon 'x' holds a lone surrogate, '\\udfff'; remove it",
    "groups of lexicon 'x' must be a list of Group; got the Concept Concept(",
]


def test_values_that_are_no_text_are_refused_in_one_line_and_missing_ones_are_null() -> None:
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for answers, expected in (
        (told["captions"], OF_CAPTIONS),
        (told["coverage"], OF_CAPTIONS),
        (told["lexicons"], OF_LEXICONS),
    ):
        for answer, start in zip(answers, expected, strict=True):
            assert answer.startswith(start)
            assert "\n" not in answer
    assert told["right"] == [[[0], []]] * 11
    assert told["forms"] == ["dog", "pup"]
