"""Expressions and what they mean: one table for the parser of the command line and for that of the living page."""

import re

from micrograd import Value, composed

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
    ("a - b - c", 2.5),
    ("8 / 4 / 2 * 3", 3.0),
    ("2**3**2 - (2**3)**2", 448.0),
    ("-2**2 + (-2)**2 * 3 + 2**-1", 8.5),
    ("7.5 // 2 - -7 % 3 - 2 * -a", 3.0),
    ("1e-3*1E3 + 2.5e+1 + 1_0e1", 126.0),
    ("b < a + 1", 1.0),
    ("a + c > b * 2", 1.0),
    ("x_1 = a; é2 = x_1 + b; é2*2", -2.0),
    ("ﬁ = a; fi + b", -1.0),
    ("pi = 3*a; pi", 3.0),
    ("d = a*b; e = d; d + e", -4.0),
]

# What is written of these means the same when it is read again, at these values and at others
HERE, THERE = ({"a": 1.25, "b": -2.0, "c": 0.5, "z": 0.0}, {"a": 1.75, "b": -3.0, "c": 0.625, "z": 4.0})
WRITTEN = [
    "a - (b - c)", "a - (b + c)", "a - b - c", "a + (b - c)", "a / (b * c)", "a / (b / c)", "a / b / c", "a / b * c",
    "a * (b / c)", "(a + b) * c", "a * (b + c)", "(a - b) * (b - c)", "-(a + b)", "-(a * b)", "-a**2", "(-a)**2",
    "(a * b)**2", "(a / b)**3", "(b**2)**3", "(b**4)**5", "a**-2", "2**(a + b)", "2**(a * b)", "(a + c)**(b - c)", "a - -b",
    "a + -b", "a * -b", "-a * b", "a / -b", "-a / b", "a - 2*-b", "a - (-2)*c", "a * (-2) + c", "(a - 2) / (b - 3)",
    "a**2 / b**2", "sin(a - b) * c", "sin(a)**2", "sin(a * b) / tanh(c / b)", "dot([a, b], [b, c], a)",
    "dot([a, b], [b, c], -a)", "dot([a, b], [b, c], 0)", "dot([a, b + c], [b - c, c], 3)", "dot([a], [a], b)",
    "dot([a], [b], z)", "dot([a], [b], a - 1.25)", "a * (b % c)",
    "dot([-a, a], [b, -b], c)", "sum([a, -b, b * c])", "sum([a - b, b - c]) * c", "a - sum([b, c])",
    "a * dot([a, b], [b, c], c)", "(a - b) % (b * c)", "a * b % c", "sqrt(a + c) * b", "sqrt(a)**3", "log(a + c) - b",
]  # fmt: skip

REFUSALS = [
    ("tanh(a*b) + d", "unknown name 'd': give it a value, d=1.0", 12),
    ("tanh(a*b + c", "'(' was never closed", 4),
    ("a +", "cannot read the expression: invalid syntax", 3),
    ("ä*2 + a^b", "for a power write **", 7),
    ("a @ b", "use + - * / // % ** < >", 0),
    ("a.b", "not an attribute", 0),
    ("a + b if a else c", "use where(c, a, b)", 0),
    ("__import__('os').system('ls')", "only real numbers", 11),
    ("a + (b + c).d", "not an attribute", 4),
    ("(a + b)(c)", "not a call", 0),
    ("a + sin(a, b)", "sin takes 1 argument(s), got 2", 4),
    ("foo(a)", "unknown function 'foo': known are abs, acos", 0),
    ("constructor(a)", "unknown function 'constructor'", 0),
    ("take(a, a)", "unknown function 'take': known are abs", 0),
    ("2 * take", "unknown name 'take'", 4),
    ("a * np.sin(b)", "without np. before them, as sin(x)", 4),
    ("math.tanh(a*b)", "without math. before them, as sin(x)", 0),
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
    ("ä*ä + sin(a, b)", "sin takes 1 argument(s), got 2", 6),
    ("lambda = a; is = ä; lambda + zz", "unknown name 'zz'", 29),
    ("d = a*b\nd + zz", "unknown name 'zz'", 4),
    ("d = a*b\nd + * 2", "invalid syntax", 4),
    ("+".join(["a"] * 60) + "+zz", "unknown name 'zz'", 120),
    ("a" + "+a" * 29 + "++zz", "unknown name 'zz'", 61),
    ("a + True", "read here, not", 4),
    ("a ^ b ^ c", "for a power write **", 2),
]

# With composed functions and entries of lists, which the command line and the page know
COMPOSED = [
    ("gelu(a)", composed.gelu(1.0)),
    ("b.silu()", composed.silu(-2.0)),
    ("elu(b, 0.5) + elu(b)", 1.5 * composed.elu(-2.0)),
    ("leaky_relu(b) + leaky_relu(b, c)", -1.02),
    ("ceil(c) * trunc(a + c) + trunc(b / 3)", 1.0),
    ("clip(b, -1, c)", -1.0),
    ("clip(a, 2) + clip(a)", 3.0),
    ("logaddexp(a, b)", composed.logaddexp(1.0, -2.0)),
    ("softmax([a, b])[1]", composed.softmax([1.0, -2.0])[1]),
    ("log_softmax(a, 3, b)[0] + softmax(a)[0]", composed.log_softmax([1.0, 3.0, -2.0])[0] + 1.0),
    ("s = softmax(a, b, c); s[0] + cumsum(s)[2]", composed.softmax([1.0, -2.0, 0.5])[0] + 1.0),
    ("norm(a, b) + [a, b].norm()", 2 * 5.0**0.5),
    ("mean([a, b]) * var([a, b]) + std(a, b) - prod([b, c])", -0.5 * 2.25 + 1.5 + 1.0),
    ("prod([]) + mean(c) + [a, b][1]", -0.5),
    ("x = silu([a, b]); clip(x, [0, -1], 0.5)[1] + x[0]", composed.silu(-2.0) + composed.silu(1.0)),
    ("gelu = a + b; gelu*c", -0.5),
]
NOT_COMPOSED = [
    ("gelu(a, b)", "gelu takes 1 argument(s), got 2", 0),
    ("clip()", "clip takes 1 to 3 arguments, got 0", 0),
    ("logaddexp(a)", "logaddexp takes 2 argument(s), got 1", 0),
    ("gelu + a", "gelu is a function: write gelu(...)", 0),
    ("softmax([a, b])", "the result must be one number, not a list", 0),
    ("a + softmax([a, b])[2]", "a list of 2 has no entry 2: count from 0", 4),
    ("a[0]", "an index stands behind a list, and this is one number", 0),
    ("softmax([a, b])[c]", "an index is a whole number from 0", 16),
    ("softmax([a, b])[-1]", "an index is a whole number from 0", 16),
    ("softmax([a, b])[0.5]", "an index is a whole number from 0", 16),
    ("trunc([a])", "the result must be one number, not a list", 0),
    ("a + elu([a, b], [c])[0]", "elu needs lists of one length, got 1 and 2 values", 4),
    ("[a].sin()", "sin: expected a number, got list", 0),
    ("2 * [a]", "expected a number, got list", 0),
    ("foo(a)", "cbrt, ceil, clip, cos", 0),
    ("a + mean([])", "mean needs at least 1 value, got none", 4),
    ("softmax()[0]", "log_softmax and softmax need at least one value, got none", 0),
]


def read_again(text):
    """A written formula as the parsers read it: · is *, a raised number a power, √ a function."""
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾", "0123456789-()")
    text = re.sub(r"(?<=[a-z])([⁰-⁹¹²³⁻]+)(\((?:[^()]|\([^()]*\))*\))", r"\2\1", text)  # sin²(a) is sin(a)²
    text = re.sub("[⁰-⁹¹²³⁻⁽⁾]+", lambda m: "**" + m[0].translate(raised), text)
    text = re.sub(r"√([\w.]+)", r"sqrt(\1)", text).replace("√(", "sqrt(")
    for sign, written in (("·", "*"), ("−", "-"), ("^", "**"), (" mod ", " % ")):
        text = text.replace(sign, written)
    return text
