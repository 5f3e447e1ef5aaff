"""Worked arithmetic: every function returns (text, value) where the text is the working a person could follow.

Long operations are written column by column from the right. Each column is two digits, carry first:
    347+285=[12,13,06]632      7+5=12, 4+8+1=13, 3+2+1=06
    432-285=[17,14,01]147      borrow first: 12-5=7 with a borrow, 3-1-8 -> 4 with a borrow, 4-1-2=1
    384*7=[28,58,26]2688       4*7=28, 8*7+2=58, 3*7+5=26
    7404/6=[11,22,32,40]1234   from the left, quotient digit then remainder
so that every step needs two digits and one carry only.
"""

from math import gcd, isqrt


def digits(n):
    return [int(d) for d in str(n)]


def add(a, b):
    """a+b for a, b >= 0."""
    if a < 100 and b < 100:
        return f"{a}+{b}={a + b}", a + b
    columns, carry, x, y = [], 0, digits(a)[::-1], digits(b)[::-1]
    for i in range(max(len(x), len(y))):
        s = (x[i] if i < len(x) else 0) + (y[i] if i < len(y) else 0) + carry
        columns.append(f"{s:02d}")
        carry = s // 10
    return f"{a}+{b}=[{','.join(columns)}]{a + b}", a + b


def subtract(a, b):
    """a-b for a >= b >= 0."""
    if a < 100:
        return f"{a}-{b}={a - b}", a - b
    columns, borrow, x, y = [], 0, digits(a)[::-1], digits(b)[::-1]
    for i in range(len(x)):
        s = x[i] - (y[i] if i < len(y) else 0) - borrow
        borrow = int(s < 0)
        columns.append(f"{borrow}{s + 10 * borrow}")
    return f"{a}-{b}=[{','.join(columns)}]{a - b}", a - b


def signed_sum(a, b):
    """a+b for any signs, reduced to one operation on magnitudes. What the sum is of stands first: '-5+17: 17-5=12'."""
    text, v = unsigned_sum(a, b)
    return (text if a >= 0 and b >= 0 else f"{a}+{b}: {text}"), v


def difference(a, b):
    """a-b likewise: '5-17: -(17-5)=-12'."""
    text, v = unsigned_sum(a, -b)
    return (text if a >= b >= 0 else f"{a}-{b}: {text}"), v


def unsigned_sum(a, b):
    if a >= 0 and b >= 0:
        return add(a, b)
    if a < 0 and b < 0:
        return negated(*add(-a, -b))
    positive, negative = max(a, b), -min(a, b)
    if positive >= negative:
        return subtract(positive, negative)
    return negated(*subtract(negative, positive))


def negated(text, v):
    left, right = text.split("=", 1)
    return f"{text} → -{v}" if "[" in right else f"-({left})=-{right}", -v


def multiply(a, b):
    """a*b for a, b >= 0: one line for a single digit, else partial products and their running sum."""
    if a == b and 10 <= a < 100:
        return f"{a}*{a}={a * a}", a * a
    if min(a, b) < 10 and max(a, b) < 100:
        return f"{a}*{b}={a * b}", a * b
    if a < b:
        a, b = b, a
    if b < 10:
        columns, carry = [], 0
        for d in digits(a)[::-1]:
            s = d * b + carry
            columns.append(f"{s:02d}")
            carry = s // 10
        return f"{a}*{b}=[{','.join(columns)}]{a * b}", a * b
    lines, total = [], None
    for place, d in enumerate(digits(b)[::-1]):
        if d == 0:
            continue
        text, v = multiply(a, d)
        lines.append(text)
        v *= 10**place
        if total is None:
            total = v
        else:
            text, total = add(total, v)
            lines.append(text)
    lines.append(f"{a}*{b}={a * b}")
    return "; ".join(lines), a * b


def divide(a, b):
    """a/b exactly, a >= 0, b > 0."""
    if a < 100 and b < 10:
        return f"{a}/{b}={a // b}", a // b
    if b < 10:
        return f"{a}/{b}={short_division(a, b)}{a // b}", a // b
    steps, _ = long_division(a, b)
    return "; ".join([*steps, f"{a}/{b}={a // b}"]), a // b


def short_division(a, b):
    """For b < 10: the quotient's digit and the remainder after every digit of a: '[11,22,32,40]'."""
    steps, r = [], 0
    for d in digits(a):
        q, r = divmod(10 * r + d, b)
        steps.append(f"{q}{r}")
    return f"[{','.join(steps)}]"


def long_division(a, b):
    """Steps of a/b for a >= b > 9: the multiples of b, one step per digit of the quotient; and the remainder."""
    steps, r = [",".join(f"{i}:{b * i}" for i in range(1, 10))], 0
    for d in digits(a):
        n = 10 * r + d
        q, r = divmod(n, b)
        if q:
            steps.append(f"{n}-{q}*{b}={n}-{q * b}={r}")
        elif len(steps) > 1:
            steps.append(f"{n}: 0")
    return steps, r


def fraction(n, d):
    """A reduced fraction as text: -1/3, 5."""
    if d < 0:
        n, d = -n, -d
    g = gcd(n, d)
    n, d = n // g, d // g
    return str(n) if d == 1 else f"{n}/{d}"


def square_root(n):
    """The root of a perfect square. Two digits are known by heart; a third comes from what is left over:
    √89401: 29*29=841; 894-841=[03,05,00]53; 5301=589*9; √89401=299."""
    s = isqrt(n)
    if s < 100:
        return f"√{n}={s}", s
    known, last = divmod(s, 10)
    top = n // 100
    text, left = subtract(top, known * known)
    return f"√{n}: {known}*{known}={known * known}; {text}; {100 * left + n % 100}={20 * known + last}*{last}; √{n}={s}", s


def quotient(n, d):
    """n/d brought to lowest terms by division with remainder: '91/-14=-91/14 1:14,2:28,…,9:126; 91-6*14=91-84=7; 14-2*7=0; 7: 91/7=13; 14/7=2; -13/2'.

    The greatest common divisor of the divisor and the remainder follows by Euclid's algorithm."""
    text = f"{n}/{d}"
    if n == 0 or abs(d) == 1:
        return f"{text}={fraction(n, d)}", fraction(n, d)
    if d < 0:
        n, d = -n, -d
        text += f"={n}/{d}"
    steps, r = [], abs(n)
    if r >= d:
        if d < 10:
            steps.append(short_division(r, d))
            r %= d
        else:
            steps, r = long_division(r, d)
    if r:
        g, rest = d, r
        while rest:
            steps.append(f"{g}-{g // rest}*{rest}={g % rest}")
            g, rest = rest, g % rest
        if g == 1:
            return f"{text} {'; '.join(steps)}; 1", f"{n}/{d}"
        steps += [f"{g}: {divide(abs(n), g)[0]}", divide(d, g)[0]]
    return f"{text} {'; '.join(steps)}; {fraction(n, d)}", fraction(n, d)


def reduce(n, d):
    """n/d brought to lowest terms one prime at a time: '154/28 ÷2=77/14 7:[11,07]÷7=11/2'.

    For the denominators of quadratic equations, whose primes are 2, 3, 5 and 7. Whether 2 and 5 divide is seen at the last digit;
    for 3 and 7 each digit of the quotient and the remainder after it are written ('3:[01,42,62]': 140 is not divisible by 3)."""
    text = f"{n}/{d}"
    if d < 0:
        n, d = -n, -d
        text += f"={n}/{d}"
    if n == 0:
        return text + "=0", "0"
    rest, p = d, 2
    while rest > 1:
        if rest % p:
            p += 1
            continue
        steps, r = "", n % p
        if p in (3, 7) and abs(n) >= 30:
            steps = f"{p}:{short_division(abs(n), p)}"
        text += f" {steps}" if steps else " " * (r == 0)
        if r:
            while rest % p == 0:
                rest //= p
            continue
        n, d, rest = n // p, d // p, rest // p
        text += f"÷{p}={n}/{d}" if d > 1 else f"÷{p}={n}"
    if d == 1 and not text.endswith(f"={n}"):
        text += f"={n}"
    return text, fraction(n, d)
