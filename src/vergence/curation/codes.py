"""Numbers that the compiled loops, the lists of words and the rules of mending share.

Numba compiles them in and looks for changes in its own file alone: after a change here, touch the kernels.
"""

NONE, START, END, STOP, COMMA, COLON, OPEN, CLOSE, SLASH, GLUE, SIGN, WORD = range(12)
ARTICLE, DETERMINER, CONJUNCTION, PREPOSITION, OF, COPULA, INTENSIFIER, NEGATION = range(12, 20)
ADJECTIVE, PRONOUN, PAINTED, NOUN, VERB, INFLECTED = range(20, 26)
"""What a token beside a mention is; five bits each. `GLUE` is a sign that makes one word of two, `INFLECTED`
a word of no list in -ing, -ed or -s."""

OTHER_SIGN, IN_WORD, WHITE, INVISIBLE_SIGN = range(4)
"""What a code point is: a sign, of a word, white space, or as if it were not there."""

KEEP, OMIT, REWRITTEN = -1, -2, -3
"""What to do with a factor in a caption; from 0 on the value that it is to say. The last is how a model did it."""

ATTRIBUTE, THING, REPLACED, THINGS = range(4)
"""What is taken out: an attribute, such as a colour; a noun; nothing, where other words take the place; a plural."""

NEGATED, COMPOUND, HEAD, PREDICATE, EMPTIED, MARKUP, OVERLAP, NO_FORM, TANGLED, NO_PLACE, CONTRADICTED = range(1, 12)
"""Why a mention stays as it was; `mending.REASONS` has them in words."""

# Columns of a run: caption, first byte, byte after the last, factors as bits, value to say or OMIT, its signature,
# first and last of its spans; where its three tokens to the left begin, where those to the right end.
CAPTION, FIRST, LAST, FACTORS, VALUE, SIGNATURE, SPAN, LAST_SPAN, LEFT = range(9)
RIGHT, WIDTH = 11, 14
