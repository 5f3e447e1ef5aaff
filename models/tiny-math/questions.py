"""Draws the sample of "Compare thinking" on the demo page from the test split: `python questions.py > ../../www/compare/questions.json`."""

import json

import phrases as P
from evaluate import test_problems

# Family, range, language and how many.
SAMPLE = [
    ("quadratic", "small", "en", 3), ("quadratic", "small", "zh", 1), ("quadratic", "middle", "en", 1), ("linear", "small", "en", 2), ("linear", "small", "zh", 1),
    ("triangle", "small", "en", 1), ("arithmetic", "basic", "en", 2), ("word", "small", "en", 1),
]
SEED = "page"


def is_plain(example):
    """Asked in one message, without words around it that say nothing."""
    [text, *more] = [m["content"] for m in example.messages]
    opened = any(o and text.startswith(o) for o in P.OPENERS[example.lang])
    return not more and not opened and not any(c and text.endswith(c) for c in (*P.CLOSERS[example.lang], " /think"))


def main():
    questions = []
    for family, scale, lang, count in SAMPLE:
        plain = filter(is_plain, test_problems(family, lang, "think", 40 * count, scale, SEED))
        questions += [{"question": e.messages[0]["content"], "right": e.answer} for e, _ in zip(plain, range(count))]
    print(json.dumps(questions, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
