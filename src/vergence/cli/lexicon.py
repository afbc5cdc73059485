"""`vergence lexicon`: make a lexicon, or check one."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Make a lexicon from WordNet, or check a lexicon file and print it as YAML."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=["from-wordnet", "show"], help="what to do")
    parser.add_argument("what", metavar="SYNSET|FILE", help="such as dog.n.01; a YAML or CSV file, or concepts-146")
    parser.add_argument("--depth", type=int, default=1, help="levels of kinds that become concepts")
    parser.add_argument("--folder", metavar="DIR", help="where WordNet's data.noun is (default: Debian's folder)")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(options: Namespace) -> int:
    """Print or write the lexicon."""
    from vergence.corpus import lexicon_from_wordnet, load_lexicon
    from vergence.files import write_text
    from vergence.terminal import say

    if options.action == "from-wordnet":
        lexicon = lexicon_from_wordnet(options.what, depth=options.depth, folder=options.folder)
    else:
        lexicon = load_lexicon(options.what)
    if options.out:
        write_text(options.out, lexicon.to_yaml())
    else:
        say(*lexicon.to_yaml().splitlines())
    return 0
