"""Seeded generator of chat-formatted mathematics problems with worked thinking, rendered by Qwen3's chat template.

`python generate.py [seed] [count]` prints examples. Training text and test text never meet: an example belongs to the
test split when the SHA-256 of its user messages starts with a byte below 8 (1 in 32), for every seed.
"""

import hashlib
import json
import random
import re
import sys
from dataclasses import dataclass, field
from functools import partial
from math import gcd, isqrt
from pathlib import Path

import jinja2

import phrases as P
from working import difference, divide, fraction, multiply, quotient, reduce, short_division, signed_sum, square_root

HERE = Path(__file__).parent
TEMPLATE_TEXT = (HERE / "chat_template.jinja").read_text()
_environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
_environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
TEMPLATE = _environment.from_string(TEMPLATE_TEXT)

# Largest |p|, q of a root p/q and common factor of a quadratic; largest coefficient and |solution| of a linear equation and of a system.
# Nothing is trained on "beyond".
SCALES = ("small", "middle", "full", "beyond")
QUADRATIC = dict(zip(SCALES, [(9, 3, 2), (20, 5, 3), (40, 8, 4), (60, 9, 5)]))
LINEAR = dict(zip(SCALES, [(9, 12), (20, 30), (99, 99), (200, 200)]))
SYSTEM = dict(zip(SCALES, [(5, 9), (9, 15), (12, 20), (15, 30)]))
# What a stage of training draws: weights of the families, of the ranges (small, middle, full) and of 1 to 5 digit numbers.
STAGES = {
    "basic": {"families": {"quadratic": 0.36, "linear": 0.22, "arithmetic": 0.24, "triangle": 0.06, "word": 0.04, "greet": 0.02, "able": 0.02, "other": 0.04},
              "ranges": (0.90, 0.08, 0.02, 0), "digits": (45, 45, 7, 3, 0)},
    "full": {"families": {"quadratic": 0.21, "linear": 0.25, "arithmetic": 0.16, "system": 0.17, "triangle": 0.02, "percent": 0.03, "word": 0.03,
                          "greet": 0.01, "able": 0.01, "other": 0.02, "tool": 0.02, "follow": 0.07},
             "ranges": (0.15, 0.25, 0.60, 0), "digits": (24, 34, 24, 18, 0)},
}
BEYOND = (0, 10, 20, 30, 40)  # digits of the arithmetic that is harder than anything trained on
MODES = {"think": 0.84, "off": 0.09, "no_think": 0.04, "cut": 0.03}


def held_out(text):
    return hashlib.sha256(text.encode()).digest()[0] < 8


@dataclass
class Example:
    """One conversation and its right continuation; `mode` is think, off, no_think or cut (thinking stopped midway)."""

    family: str
    lang: str
    messages: list
    thinking: str
    answer: str
    scale: str = ""
    mode: str = "think"
    tools: list = field(default_factory=list)

    def prompt(self):
        context = {"messages": self.messages, "tools": self.tools or None, "add_generation_prompt": True}
        if self.mode == "off":
            context["enable_thinking"] = False
        return TEMPLATE.render(**context)

    def parts(self, rng):
        """(text without loss, text with loss)."""
        prompt, answer = self.prompt(), self.answer + "<|im_end|>"
        if self.mode == "think":
            return prompt, f"<think>\n{self.thinking}\n</think>\n\n{answer}"
        if self.mode == "no_think":
            return prompt, f"<think>\n\n</think>\n\n{answer}"
        if self.mode == "cut":
            cut = self.thinking[: rng.randrange(1, len(self.thinking) + 1)]
            return f"{prompt}<think>\n{cut}\n</think>\n\n", answer
        return prompt, answer

    def asked(self):
        return [m["content"] for m in self.messages if m["role"] == "user"]

    def is_test(self):
        return held_out("\n".join(self.asked()))

    def is_train(self):
        """Nothing with a number in it is trained on when it, alone or as part of this conversation, belongs to the test split."""
        return not self.is_test() and not any(held_out(text) for text in self.asked() if re.search("[0-9]", text))


def numbers(text):
    """The numbers a reply states, in order: '1/3', '-2'. Subscripts are not ASCII digits and do not count."""
    return re.findall(r"-?[0-9]+(?:/[0-9]+)?", text.replace("−", "-"))


def is_right(example, reply):
    """Exact-answer check. Calls of the calculator must evaluate to the same value, texts must be equal, else all numbers must agree."""
    reply = reply.strip()
    if "<tool_call>" in example.answer:
        match = re.fullmatch(r"<tool_call>\n(\{.*\})\n</tool_call>", reply)
        try:
            call, wanted = json.loads(match[1]), json.loads(example.answer.split("\n")[1])
            return call["name"] == wanted["name"] and call["arguments"] == wanted["arguments"]
        except (TypeError, ValueError, KeyError):
            return False
    found = numbers(example.answer)
    return numbers(reply) == found and ("√" in reply) == ("√" in example.answer) if found else reply == example.answer


class Style:
    """How one user writes mathematics: spaces, signs and the square."""

    def __init__(self, rng):
        self.space = rng.random() < 0.6
        self.minus = "−" if rng.random() < 0.3 else "-"
        self.times = rng.choice("*××·")
        self.over = rng.choice("/÷÷")
        self.square = "^2" if rng.random() < 0.35 else "²"

    def write(self, text):
        """Restyles plain text: operators '+-*/=' and '²'."""
        text = text.replace("²", self.square)
        if self.space:
            text = re.sub(r"(?<=[0-9x²y)])([-+*/=])", r" \1 ", text).replace("=-", "= -").replace("  ", " ")
        return text.replace("-", self.minus).replace("*", self.times).replace("/", self.over)


def polynomial(*terms):
    """polynomial((3,'x²'),(-5,'x'),(2,'')) -> '3x²-5x+2'."""
    out = ""
    for c, name in terms:
        if c:
            out += ("-" if c < 0 else "+" if out else "") + (str(abs(c)) if abs(c) != 1 or not name else "") + name
    return out or "0"


def wrap(lang, rng, text):
    opener = rng.choice(P.OPENERS[lang])
    if opener.endswith("Please "):
        text = text[0].lower() + text[1:]
    return opener + text + rng.choice(P.CLOSERS[lang])


def quadratic_thinking(a, b, c, lang):
    """Returns (thinking, roots or None, answer) of ax²+bx+c=0."""
    lines = [polynomial((a, "x²"), (b, "x"), (c, "")) + "=0"]
    if a < 0:
        a, b, c = -a, -b, -c
        lines.append("*(-1): " + polynomial((a, "x²"), (b, "x"), (c, "")) + "=0")
    for p in (2, 3, 5, 7):
        while a % p == 0:
            for n in (b, c):
                if p in (3, 7) and n:
                    lines.append(f"{p}: {abs(n)}{short_division(abs(n), p)}")
                if n % p:
                    break
            if b % p or c % p:
                break
            a, b, c = a // p, b // p, c // p
            lines.append(f"÷{p}: " + polynomial((a, "x²"), (b, "x"), (c, "")) + "=0")
    lines.append(f"a={a}, b={b}, c={c}")
    text, square = multiply(abs(b), abs(b))
    lines.append("b²: " + text)
    text, four_a = multiply(4, a)
    lines.append("4a: " + text)
    text, product = multiply(four_a, abs(c))
    product = -product if c < 0 else product
    lines.append("4ac: " + text + f" → {product}" * (c < 0))
    text, d = difference(square, product)
    lines.append("D: " + text)
    if d < 0:
        lines.append("D<0")
        return "\n".join(lines), None, {"en": f"D = {d} is negative, so there is no real solution.", "zh": f"D = {d} 是负数,所以没有实数解。"}[lang]
    s = isqrt(d)
    if s * s != d:
        lines.append(f"√{d}?")
        text = {"en": "x = ({0} ± √{1})/{2}", "zh": "x = ({0} ± √{1})/{2}"}[lang].format(-b, d, 2 * a)
        return "\n".join(lines), None, text + {"en": ".", "zh": "。"}[lang]
    lines += [square_root(d)[0], f"2a={2 * a}"]
    roots = []
    for name, operation in (("x₁", signed_sum), ("x₂", difference)) if s else (("x", signed_sum),):
        text, n = operation(-b, s)
        lines.append(f"{name}: {text}")
        text, value = reduce(n, 2 * a)
        lines.append(f"{name}={text}")
        roots.append((n, 2 * a, value))
    factors = []
    for n, m, _ in roots if s else roots * 2:
        g = gcd(n, m)
        factors.append("(" + polynomial((m // g, "x"), (-n // g, "")) + ")")
    lines.append({"en": "check: ", "zh": "检验: "}[lang] + "".join(factors) + "=" + polynomial((a, "x²"), (b, "x"), (c, "")))
    values = [r[2] for r in roots]
    if s:
        answer = {"en": "x₁ = {0} and x₂ = {1}.", "zh": "x₁ = {0},x₂ = {1}。"}[lang].format(*values)
    else:
        answer = {"en": "x = {0} (double root).", "zh": "x = {0}(重根)。"}[lang].format(*values)
    return "\n".join(lines), roots, answer


def quadratic_numbers(rng, scale):
    p_max, q_max, k_max = QUADRATIC[scale]
    (p, q), (r, s) = [(rng.randint(-p_max, p_max), rng.choice([1, 1, rng.randint(1, q_max)])) for _ in range(2)]
    g, h = gcd(p, q), gcd(r, s)
    p, q, r, s = p // g, q // g, r // h, s // h
    k = rng.choice([1, 1, 1, rng.randint(1, k_max)]) * rng.choice([1] * 19 + [-1])
    a, b, c = k * q * s, -k * (p * s + q * r), k * p * r
    if rng.random() < 0.06:  # not factorable over the rationals
        a, b, c = rng.randint(1, 5), rng.randint(-9, 9), rng.randint(-9, 9)
    return a, b, c


def quadratic(rng, lang, scale):
    a, b, c = quadratic_numbers(rng, scale)
    right, b_, c_ = "0", b, c
    style = rng.random()
    if style < 0.12 and c:
        right, c_ = str(-c), 0
    elif style < 0.2 and b:
        right, b_ = polynomial((-b, "x")), 0
    problem = polynomial((a, "x²"), (b_, "x"), (c_, "")) + "=" + right
    thinking, roots, answer = quadratic_thinking(a, b, c, lang)
    text = rng.choice(P.SOLVE[lang]).format(Style(rng).write(problem))
    return text, thinking, answer, roots


def signed_multiply(a, b):
    """a*b for any signs, which are written down before the magnitudes are multiplied."""
    text, v = multiply(abs(a), abs(b))
    text = f"{a}*{b}: {text}" if a < 0 or b < 0 else text
    return (text + f" → -{v}", -v) if (a < 0) != (b < 0) and v else (text, v)


def finish_linear(lines, a, n, lang):
    """From ax=n to the answer."""
    lines.append(polynomial((a, "x")) + f"={n}")
    text, value = quotient(n, a)
    if a != 1:
        lines.append("x=" + text)
    return "\n".join(lines), (n, a, value), f"x = {value}" + {"en": ".", "zh": "。"}[lang]


def linear(rng, lang, scale):
    c_max, x_max = LINEAR[scale]
    nonzero = lambda m: rng.choice([-1, 1, 1]) * rng.randint(1, m)
    form, a, x = rng.random(), nonzero(c_max), rng.randint(-x_max, x_max)
    b = nonzero(c_max)
    lines = []
    if form < 0.45:  # ax+b=d
        d = a * x + b if rng.random() < 0.8 else nonzero(c_max)
        problem = polynomial((a, "x"), (b, "")) + f"={d}"
        text, n = difference(d, b)
        lines += [problem, text]
    elif form < 0.75:  # ax+b=cx+d
        c = nonzero(c_max)
        if c == a:
            c = a + 1 or 2
        d = (a - c) * x + b if rng.random() < 0.8 else nonzero(c_max)
        problem = polynomial((a, "x"), (b, "")) + "=" + polynomial((c, "x"), (d, ""))
        lines.append(problem)
        text, a = difference(a, c)
        lines.append("x: " + text)
        text, n = difference(d, b)
        lines.append("1: " + text)
    elif form < 0.9:  # a(x+b)=d
        a = a if abs(a) > 1 else 2
        d = a * (x + b) if rng.random() < 0.85 else nonzero(c_max)
        problem = f"{a}({polynomial((1, 'x'), (b, ''))})={d}"
        text, product = signed_multiply(a, b)
        lines += [problem, text, polynomial((a, "x"), (product, "")) + f"={d}"]
        text, n = difference(d, product)
        lines.append(text)
    else:  # x/a+b=d
        a = abs(a) + 1
        d = x + b
        problem = f"x/{a}{b:+d}={d}"
        text, total = difference(d, b)
        lines += [problem, text, f"x/{a}={total}"]
        text, n = signed_multiply(total, a)
        lines.append(text)
        a = 1
    thinking, root, answer = finish_linear(lines, a, n, lang)
    return rng.choice(P.SOLVE[lang]).format(Style(rng).write(problem)), thinking, answer, root


def system(rng, lang, scale):
    m, x_max = SYSTEM[scale]
    while True:
        a, b, c, d = (rng.choice([-1, 1, 1]) * rng.randint(1, m) for _ in range(4))
        if a * d != b * c:
            break
    x, y = rng.randint(-x_max, x_max), rng.randint(-x_max, x_max)
    e, f = a * x + b * y, c * x + d * y
    first, second = polynomial((a, "x"), (b, "y")) + f"={e}", polynomial((c, "x"), (d, "y")) + f"={f}"
    lines = [first, second, f"a={a}, b={b}, e={e}", f"c={c}, d={d}, f={f}"]
    values = []
    for name, (p, q, r, s) in (("D=ad-bc", (a, d, b, c)), ("X=ed-bf", (e, d, b, f)), ("Y=af-ec", (a, f, e, c))):
        t1, v1 = signed_multiply(p, q)
        t2, v2 = signed_multiply(r, s)
        t3, v3 = difference(v1, v2)
        lines += [f"{name}: {t1}", t2, t3]
        values.append(v3)
    for name, v in (("x", values[1]), ("y", values[2])):
        lines.append(f"{name}=" + quotient(v, values[0])[0])
    style = Style(rng)
    joint = rng.choice([", ", "; ", {"en": " and ", "zh": " 和 "}[lang]])
    problem = style.write(first) + joint + style.write(second)
    answer = {"en": "x = {0} and y = {1}.", "zh": "x = {0},y = {1}。"}[lang].format(x, y)
    return rng.choice(P.SYSTEM[lang]).format(problem), "\n".join(lines), answer, None


def triangle(rng, lang, scale):
    s = rng.choice([4, 5, 6, 9, 10, 12, 15, 18, 20, 30, 36, 45, 60])
    a, b = sorted(rng.sample(range(1, s), 2))
    parts = [a, b - a, s - b]
    if rng.random() < 0.5:
        parts.sort()
    x = 180 // s
    lines = [", ".join(polynomial((p, "x")) for p in parts), f"{parts[0]}+{parts[1]}={parts[0] + parts[1]}",
             f"{parts[0] + parts[1]}+{parts[2]}={s}", f"{s}x=180", f"x=180/{s}={x}"]
    lines += [multiply(p, x)[0] for p in parts]
    terms = [polynomial((p, "x")) for p in parts]
    joint = rng.choice([", ", ", ", "、"]) if lang == "zh" else ", "
    problem = joint.join(terms) if rng.random() < 0.5 else joint.join(terms[:2]) + {"en": " and ", "zh": " 和 "}[lang] + terms[2]
    angles = [f"{p * x}°" for p in parts]
    answer = {"en": "x = {0}°, so the angles are {1}, {2} and {3}.", "zh": "x = {0}°,三个角是 {1}、{2}、{3}。"}[lang].format(x, *angles)
    return rng.choice(P.TRIANGLE[lang]).format(problem), "\n".join(lines), answer, None


def show(tree, top=True):
    if isinstance(tree, int):
        return str(tree) if tree >= 0 or top else f"({tree})"
    op, left, right = tree
    text = []
    for side, t in ((0, left), (1, right)):
        inner = show(t, top and side == 0)
        if not isinstance(t, int) and (op in "*/" and t[0] in "+-" or side and op in "-/" and (t[0] in "+-" or op == "/")):
            inner = f"({inner})"
        text.append(inner)
    return op.join(text)


def evaluate_tree(tree):
    """Lines of working, innermost operation first, and the value."""
    lines = [show(tree)] if not isinstance(tree[1], int) or not isinstance(tree[2], int) else []

    def innermost(t):
        op, left, right = t
        if not isinstance(left, int):
            return (op, innermost(left), right)
        if not isinstance(right, int):
            return (op, left, innermost(right))
        if op == "+":
            text, v = signed_sum(left, right)
        elif op == "-":
            text, v = difference(left, right)
        elif op == "*":
            text, v = signed_multiply(left, right)
        else:
            text, v = divide(abs(left), abs(right))
            v = -v if (left < 0) != (right < 0) else v
            text += f" → {v}" if v < 0 else ""
        lines.append(text)
        return v

    while not isinstance(tree, int):
        tree = innermost(tree)
        if not isinstance(tree, int):
            lines.append(show(tree))
    return lines, tree


def number(rng, weights=STAGES["full"]["digits"]):
    n = rng.choices(range(1, len(weights) + 1), weights)[0]
    return rng.randint(10 ** (n - 1) if n > 1 else 0, 10**n - 1)


def expression(rng, weights=STAGES["full"]["digits"]):
    n = partial(number, rng, weights)
    small = lambda: number(rng, (55, 45, 0, 0))
    one = lambda: rng.randint(2, 9)
    divisor = one() if rng.random() < 0.8 else rng.randint(10, 40)
    product = lambda: ("*", n(), one()) if rng.random() < 0.5 else ("*", number(rng, (20, 60, 20, 0)), small())
    quotient = lambda: ("/", divisor * number(rng, (30, 45, 25, 0)), divisor)
    kind = rng.randrange(24)
    if kind < 4:
        return ("+", n(), n())
    if kind < 8:
        return ("-", n(), n())
    if kind < 12:
        return product()
    if kind < 14:
        return quotient()
    return [lambda: ("*", ("+", small(), small()), one()), lambda: ("*", one(), ("-", small(), small())), lambda: ("+", product(), n()), lambda: ("+", n(), product()),
            lambda: ("-", n(), product()), lambda: ("-", n(), ("+", small(), small())), lambda: ("+", quotient(), n()), lambda: ("-", ("+", n(), n()), n()),
            lambda: ("*", ("-", small(), small()), ("+", one(), one())), lambda: ("+", ("*", small(), one()), ("*", small(), one()))][kind - 14]()


def arithmetic(rng, lang, scale):
    if rng.random() < 0.06:
        r = rng.randint(2, 99)
        return rng.choice(P.ARITHMETIC[lang]).format(f"√{r * r}"), f"√{r * r}={r}", {"en": f"The answer is {r}.", "zh": f"答案是 {r}。"}[lang], r
    tree = expression(rng, BEYOND if scale == "beyond" else STAGES[scale]["digits"] if scale in STAGES else STAGES["full"]["digits"])
    lines, v = evaluate_tree(tree)
    return rng.choice(P.ARITHMETIC[lang]).format(Style(rng).write(show(tree))), "\n".join(lines), {"en": f"The answer is {v}.", "zh": f"答案是 {v}。"}[lang], v


def percent(rng, lang, scale):
    while True:
        p = rng.choice([rng.randint(1, 20) * 5, rng.randint(1, 99)])
        n = rng.randint(1, 40) * rng.choice([5, 10, 20, 20, 50, 100])
        if p * n % 100 == 0:
            break
    text, v = multiply(n, p)
    lines = [f"{n}*{p}/100", text, f"{v}/100={v // 100}"]
    return rng.choice(P.PERCENT[lang]).format(p, n), "\n".join(lines), {"en": f"The answer is {v // 100}.", "zh": f"答案是 {v // 100}。"}[lang], None


def word(rng, lang, scale):
    text, formula = rng.choice(P.WORD[lang])
    x, y, z = rng.randint(2, 99), rng.randint(2, 40), rng.randint(2, 60)
    if formula == "{0}/{1}":
        y = rng.randint(2, 12)
        x, tree = y * rng.randint(2, 30), None
        tree = ("/", x, y)
    elif formula == "{0}-{1}":
        x = y + rng.randint(1, 60)
        tree = ("-", x, y)
    elif formula == "{0}*{1}":
        tree = ("*", x, y)
    elif formula == "{0}*{1}-{2}":
        z = rng.randint(1, x * y)
        tree = ("-", ("*", x, y), z)
    elif formula == "{0}*{1}+{2}":
        tree = ("+", ("*", x, y), z)
    elif formula == "{0}-{1}+{2}":
        x = y + rng.randint(1, 60)
        tree = ("+", ("-", x, y), z)
    elif formula == "{0}+{1}-{2}":
        z = rng.randint(1, x + y)
        tree = ("-", ("+", x, y), z)
    elif formula == "{0}+{1}+{2}":
        tree = ("+", ("+", x, y), z)
    else:
        tree = ("+", x, y)
    lines, v = evaluate_tree(tree)
    lines = lines if len(lines) > 1 else [show(tree), *lines]
    return text.format(x, y, z, n=rng.choice(P.NAMES[lang])), "\n".join(lines), {"en": f"The answer is {v}.", "zh": f"答案是 {v}。"}[lang], v


def talk(kind, rng, lang, scale):
    if kind == "other":
        text = rng.choice(P.OTHER[lang]).format(rng.choice(P.THINGS[lang]))
    else:
        text = rng.choice({"greet": P.GREETING, "able": P.ABILITY}[kind][lang])
    return text, P.THINK[lang][kind], P.REPLY[lang][kind], None


FAMILIES = {"quadratic": quadratic, "linear": linear, "system": system, "triangle": triangle, "arithmetic": arithmetic, "percent": percent, "word": word,
            **{k: partial(talk, k) for k in ("greet", "able", "other")}}


def calculator(rng, lang):
    about = rng.choice({"en": ["Evaluate an arithmetic expression.", "Evaluates an arithmetic expression", "A calculator.", "Calculate the value of an expression.", "Do exact arithmetic."],
                        "zh": ["计算算术表达式。", "计算器", "计算一个表达式的值。"]}[lang])
    argument = {"type": "string"}
    if rng.random() < 0.6:
        argument["description"] = rng.choice(["The expression to evaluate.", "An arithmetic expression, for example 2*(3+4)", "表达式", "Expression"])
    return {"type": "function", "function": {"name": "calculator", "description": about,
                                             "parameters": {"type": "object", "properties": {"expression": argument}, "required": ["expression"]}}}


def tool_use(rng, lang):
    tools = [calculator(rng, lang)]
    if rng.random() < 0.12:  # a tool is at hand but not needed
        kind = rng.choice(["greet", "able", "other"])
        text, thinking, answer, _ = talk(kind, rng, lang, "small")
        return Example("tool", lang, [{"role": "user", "content": text}], thinking, answer, tools=tools)
    tree = expression(rng, (10, 30, 30, 30))
    plain, value = show(tree), evaluate_tree(tree)[1]
    messages = [{"role": "user", "content": rng.choice(P.ARITHMETIC[lang]).format(Style(rng).write(plain))}]
    call = {"name": "calculator", "arguments": {"expression": plain}}
    if rng.random() < 0.5:
        answer = f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
        return Example("tool", lang, messages, P.THINK[lang]["tool"], answer, tools=tools)
    assistant = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}
    if rng.random() < 0.6:
        assistant["reasoning_content"] = P.THINK[lang]["tool"]
    messages += [assistant, {"role": "tool", "content": str(value)}]
    return Example("tool", lang, messages, P.THINK[lang]["result"].format(value), {"en": f"The answer is {value}.", "zh": f"答案是 {value}。"}[lang], tools=tools)


def doubled(n, m):
    """Working and value of 2n/m."""
    g = gcd(n, m) * (1 if m > 0 else -1)
    n, m = n // g, m // g
    value = fraction(2 * n, m)
    text = [fraction(n, m), f"2*{abs(n)}={2 * abs(n)}"] + [f"{2 * n}/{m}" + f"={value}" * (m % 2 == 0)] * (m > 1)
    return "\n".join(text), value


def follow_up(rng, lang):
    """A second turn about the answer of the first, which the history shows without its thinking, as Qwen3's template does."""
    family = rng.choice(["quadratic", "quadratic", "linear", "arithmetic", "any"])
    if family == "any":  # an unrelated second problem
        first, second = sample(rng, lang, rng.choice(list(FAMILIES))), sample(rng, lang, rng.choice(list(FAMILIES)))
        second.messages = [*first.messages, {"role": "assistant", "content": first.answer}, *second.messages]
        second.family, second.scale = "follow", ""
        return second
    while True:
        text, _, answer, found = FAMILIES[family](rng, lang, rng.choice(["small", "small", "middle"]))
        if found is not None and (family != "quadratic" or len(found) == 2):
            break
    stop = {"en": ".", "zh": "。"}[lang]
    the_answer = {"en": "The answer is {0}.", "zh": "答案是 {0}。"}[lang]
    if family == "quadratic":
        kind = rng.choice(["double_large", "double_small", "sum", "large", "small", "thanks"])
        ask = rng.choice(P.FOLLOW[lang][kind])
        (n1, m, r1), (n2, _, r2) = found
        n, name, value = (n1, "x₁", r1) if "large" in kind else (n2, "x₂", r2)
        thinking = f"x₁={r1}, x₂={r2}\n"
        if "double" in kind:
            text_, value = doubled(n, m)
            thinking += f"2*{name}\n{text_}"
        elif kind == "sum":
            thinking += "x₁+x₂\n"
            p, q, r, s = n1 // gcd(n1, m), m // gcd(n1, m), n2 // gcd(n2, m), m // gcd(n2, m)
            if q == s == 1:
                text_, v = signed_sum(p, r)
                thinking, value = thinking + text_, str(v)
            else:
                (text1, u), (text2, v) = signed_multiply(p, s), signed_multiply(r, q)
                total_text, total = signed_sum(u, v)
                bottom_text, bottom = multiply(q, s)
                text_, value = reduce(total, bottom)
                thinking += "\n".join([text1, text2, total_text, bottom_text, text_])
        else:
            thinking += f"{r1}>{r2}"
    elif family == "linear":
        kind = rng.choice(["double", "thanks"])
        ask = rng.choice(P.FOLLOW[lang][kind])
        n, m, value = found
        text_, value = doubled(n, m)
        thinking = f"2*x\n{text_}"
    else:
        kind = rng.choice(["double", "plus", "minus", "thanks"])
        amount = number(rng)
        ask = rng.choice(P.FOLLOW[lang][kind]).format(amount)
        thinking, value = signed_multiply(found, 2) if kind == "double" else signed_sum(found, amount if kind == "plus" else -amount)
    reply = the_answer.format(value)
    if kind == "thanks":
        thinking, reply = {"en": "The user says thanks.", "zh": "用户在道谢。"}[lang], P.THANKS[lang]
    messages = [{"role": "user", "content": wrap(lang, rng, text)}, {"role": "assistant", "content": answer}, {"role": "user", "content": ask}]
    return Example("follow", lang, messages, thinking, reply)


def sample(rng, lang, family, scale=None, mode="think", stage="full"):
    """One example of a family; the mode is applied to the last user message."""
    if family == "tool":
        example = tool_use(rng, lang)
    elif family == "follow":
        example = follow_up(rng, lang)
    else:
        scale = scale or (stage if family == "arithmetic" else rng.choices(SCALES, STAGES[stage]["ranges"])[0])
        text, thinking, answer, _ = FAMILIES[family](rng, lang, scale)
        if family not in ("greet", "able", "other"):
            text = wrap(lang, rng, text)
        example = Example(family, lang, [{"role": "user", "content": text}], thinking, answer, scale if family in ("quadratic", "linear", "system") else "")
    example.mode = mode
    last = example.messages[-1]
    if mode == "no_think" and last["role"] == "user":
        last["content"] += " /no_think"
    elif mode == "no_think":
        example.mode = "off"
    elif mode == "think" and last["role"] == "user" and rng.random() < 0.04:
        last["content"] += " /think"
    if rng.random() < 0.08:
        system_text = rng.choice(["You are a helpful assistant.", "You are a maths tutor.", "You are Qwen.", "你是一个数学助手。", "Answer briefly."])
        example.messages = [{"role": "system", "content": system_text}, *example.messages]
    return example


def stream(seed, split="train", stage="full"):
    """Endless (example, rng) of one split; the same seed and stage give the same stream."""
    rng = random.Random(seed)
    while True:
        family, mode = (rng.choices(list(d), list(d.values()))[0] for d in (STAGES[stage]["families"], MODES))
        example = sample(rng, rng.choices(["en", "zh"], [0.55, 0.45])[0], family, None, mode, stage)
        # Greetings are a small fixed set of texts without numbers: there is nothing to hold out.
        if family in ("greet", "able") and split == "train" or (example.is_test() if split == "test" else example.is_train()):
            yield example, rng


if __name__ == "__main__":
    seed, count = (int(v) for v in (sys.argv[1:3] + ["1", "5"][len(sys.argv) - 1 :]))
    for (example, rng), _ in zip(stream(seed), range(count)):
        prompt, target = example.parts(rng)
        print(f"{prompt}\x1b[32m{target}\x1b[0m\n")
