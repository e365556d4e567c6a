"""Expressions and what they mean: one table for the parser of the command line and for that of the living page."""

from micrograd import Value

A, B, C = 1.0, -2.0, 0.5

MEANINGS = [
    ("tanh(a*b) + c", (Value(A) * Value(B)).tanh().data + C),
    ("(a*b).tanh() + c", (Value(A) * Value(B)).tanh().data + C),
    ("-a ** 2 / b - +c", 0.0),
    ("2**-a**2 - 3.5e-1*.5 + 1_000.", 1000.325),
    ("sum(a, b, c) + sum([a, b])", -1.5),
    ("dot([a, b], [b, c], 1)", -2.0),
    ("dot((a, b), (b, c,))", -3.0),
    ("logsumexp([a])", 1.0),
    ("where(a > b, a, b) + max(a, b) * (a < b)", 1.0),
    ("d = a*b; e = d + c; e * d", 3.0),
    ("d = (a*\n b)  # over two lines\n\nd + c", -1.5),
    ("sin(pi/2)", 1.0),
    ("1/0", float("inf")),
    ("- - a - -b", -1.0),
    ("  7\n", 7.0),
    ("c.max(a).min(ln(a))", 0.0),
    ("lambda = 2*a; class = lambda + b; class * lambda", 0.0),
]

REFUSALS = [
    ("tanh(a*b) + d", "unknown name 'd': give it a value, d=1.0", 12),
    ("tanh(a*b + c", "'(' was never closed", 4),
    ("a +", "cannot read the expression: invalid syntax", 3),
    ("ä*2 + a^b", "for a power write **", 7),
    ("a @ b", "use + - * / // % ** < >", 0),
    ("a.b", "not an attribute", 0),
    ("a + b if a else c", "use where(c, a, b)", 0),
    ("__import__('os').system('ls')", "only real numbers", 11),
    ("a[0]", "not an index", 0),
    ("a + (b + c).d", "not an attribute", 4),
    ("(a + b)(c)", "not a call", 0),
    ("a + sin(a, b)", "sin takes 1 argument(s), got 2", 4),
    ("foo(a)", "unknown function 'foo': known are abs, acos", 0),
    ("constructor(a)", "unknown function 'constructor'", 0),
    ("take(a, a)", "unknown function 'take': known are abs", 0),
    ("2 * take", "unknown name 'take'", 4),
    ("dot([a], [b, c])", "one length, got 1 and 2", 0),
    ("dot(a, b)", "dot takes two lists", 0),
    ("[a]", "not a list", 0),
    ("2 * [a]", "expected a number, got list", 0),
    ("import os", "only arithmetic", 0),
    ("1j * a", "only real numbers", 0),
    ("9" * 400, "too large", 0),
    ("(" * 300 + "a" + ")" * 300, "too many nested", 200),
    ("", "empty", 0),
    ("a\0b", "null", 0),
    ("d = a * b; tanh(d) + x", "unknown name 'x'", 21),
]
