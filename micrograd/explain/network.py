"""The textbook's δ form for weights, biases and pre-activations of a network, in symbols and with its numbers.

    ∂L/∂W_jk^[i] = (Σ_l δ_l^[i+1] W_kl^[i+1]) g′(z_k^[i]) a_j^[i−1]        ∂L/∂b_k^[i] = δ_k^[i]

A neuron is recognised by its node: a `dot` made in a call of a network and labelled z_k^{[i]}. `chain` puts it on the page.
"""

from __future__ import annotations

from typing import NamedTuple

from micrograd.engine import Value
from micrograd.explain.contributions import Term
from micrograd.explain.layout import PLUS, TIMES, Equation, Row, Section, latex_words
from micrograd.explain.phrases import Phrases
from micrograd.formula.label import Name, named, neuron
from micrograd.formula.latex import Math, joined, spelled

NOTHING = Math("", "")


class Delta(NamedTuple):
    """δ_k of one neuron as products of factors, in several forms: from the definition to numbers."""

    leibniz: tuple[Math, ...]
    textbook: tuple[Math, ...]
    concrete: tuple[Math, ...]
    numbers: tuple[Math, ...]
    summed: tuple[Math, ...]  # the numbers, with the sum over l computed
    remark: Math
    opened: tuple[Value, ...]
    rules: tuple[Term, ...]


def place(node: Value) -> tuple[str, int, int] | None:
    """Letter, neuron and layer of a node that a network made and labelled, such as ("z", k, i); None for any other."""
    found = neuron(node.label)
    if found is None or node.note is None or not node.note.network:
        return None
    letter, index, layer = found
    return (letter, index[0], layer) if len(index) == 1 else None


def is_neuron(node: Value) -> bool:
    """Whether a node is the pre-activation z of a neuron."""
    where = place(node)
    return where is not None and where[0] == "z" and node.op == "dot"


def is_network(page: Phrases, node: Value) -> bool:
    """Whether the formulas for a node are those of a network: it is a weight, a bias or a pre-activation."""
    terms = page.graph.terms(node)
    return is_neuron(node) or (bool(terms) and all(is_neuron(t.consumer) and not _is_input(t) for t in terms))


def network_block(page: Phrases, node: Value) -> tuple[list[Section], list[Value]] | None:
    """The formulas for a weight, a bias or a pre-activation; None for everything else, for which there is the general form."""
    terms = page.graph.terms(node)
    if is_neuron(node):
        delta = delta_of(page, node)
        return None if delta is None else _single(page, node, None, delta)
    if not terms or not all(is_neuron(t.consumer) and not _is_input(t) for t in terms):
        return None
    if len(terms) == 1:
        delta = delta_of(page, terms[0].consumer) or plain(page, terms[0].consumer)
        return _single(page, node, terms[0], delta)
    return _over_calls(page, node, terms)


def _is_input(term: Term) -> bool:
    """Whether a term of a neuron's dot comes through one of its inputs, not through a weight or the bias."""
    n = len(term.consumer.parents) // 2
    return n <= term.operand < 2 * n


def _activation(term: Term) -> Value | None:
    """The a_j that a weight multiplies; None for a bias."""
    n = len(term.consumer.parents) // 2
    return term.consumer.parents[n + term.operand] if term.operand < n else None


def delta_of(page: Phrases, z: Value) -> Delta | None:
    """δ of a neuron as products; None unless z goes into an activation of one step alone, or straight into the next layer."""
    where = place(z)
    assert where is not None and z.note is not None
    _, k, layer = where
    terms = page.graph.terms(z)
    g: Term | None = None
    if len(terms) == 1 and place(terms[0].consumer) == ("a", k, layer) and len(terms[0].consumer.parents) == 1:
        g = terms[0]
        terms = page.graph.terms(g.consumer)
    hidden = bool(terms) and all(
        is_neuron(t.consumer) and _is_input(t) and t.consumer.note is not None and t.consumer.note[:2] == z.note[:2]
        for t in terms
    )
    if not hidden and g is None:
        return None
    top = z if g is None else g.consumer
    prime: tuple[Math, ...] = ()
    gprime: tuple[Math, ...] = ()
    gnumber: tuple[Math, ...] = ()
    rules: tuple[Term, ...] = ()
    leibniz: tuple[Math, ...] = (page.total(z),)
    if g is not None:
        rules, leibniz = (g,), (page.total(top), page.local(g))
        name = page.names[z]
        prime = (Math(f"g′({name.text})", rf"g'\left({name.latex}\right)"),)
        rule = page.rule(g)
        gnumber = (page.number(g.local, True),)
        gprime = (_bracketed(rule),) if rule else gnumber
    number = (page.number(page.graph.adjoint[top], True),)
    if not hidden:
        first = (page.total(top),)
        return Delta(leibniz, first + prime, first + gprime, number + gnumber, (), _known(g, 0), (top,), rules)
    terms = page.told(terms)
    pairs = [
        (page.delta(t.consumer), _named(page, t.consumer.parents[t.operand - len(t.consumer.parents) // 2])) for t in terms
    ]
    numbers = [(page.number(t.upstream, True), page.number(t.local, True)) for t in terms]
    shown = terms if page.style.most is None or len(terms) <= 4 else page.largest(terms, 3)
    kept = [i for i, t in enumerate(terms) if any(t is s for s in shown)]
    generic = Math(
        f"(Σ_l δ_l^[{layer + 1}]{_call(page, z)} · W_{_index(k, 'l')}^[{layer + 1}])",
        rf"\left(\sum_{{l}} \delta_l^{{[{layer + 1}]{_call(page, z)}}} \, W_{{{_index(k, 'l')}}}^{{[{layer + 1}]}}\right)",
    )
    several = len(terms) > 1
    concrete = (_sum_of(pairs, kept),) if several else pairs[0]
    figures = (_sum_of(numbers, kept),) if several else numbers[0]
    summed = number + gnumber if several else ()
    opened = tuple([t.consumer for t in (shown if several else terms)])
    return Delta(
        leibniz, (generic, *prime), concrete + gprime, figures + gnumber, summed, _known(g, len(terms)), opened, rules
    )  # fmt: skip


def plain(page: Phrases, z: Value) -> Delta:
    """δ of a neuron as one factor, whose number the graph above it gives."""
    name, number = page.total(z), (page.number(page.graph.adjoint[z], True),)
    return Delta((name,), (page.delta(z),), (page.delta(z),), number, (), NOTHING, (z,), ())


def _single(page: Phrases, node: Value, term: Term | None, delta: Delta) -> tuple[list[Section], list[Value]]:
    """The block of a pre-activation (without `term`), or of a weight or bias that one neuron uses once."""
    left, result = page.total(node), page.number(page.graph.adjoint[node])
    tail: list[tuple[Math, ...]] = [(), (), ()]
    if term is None:
        left = joined(Math(" = ", " = "), (page.delta(node), left))
        page.defined[node] = None
    else:
        page.defined[term.consumer] = None
        tail[0] = (page.local(term),)
        if (a := _activation(term)) is not None:
            tail[1] = (spelled(page.symbol(a), page.style.digits),)
            tail[2] = (page.number(term.local, True),)
    for g in delta.rules:
        page.defined[g.consumer] = None
    rows = [Row((delta.leibniz + tail[0],))] if page.style.notation == "leibniz" else []
    rows.append(Row((delta.textbook + tail[1],), delta.remark))
    rows.append(Row((delta.concrete + tail[1],)))
    rows.append(Row((delta.numbers + tail[2],)))
    if delta.summed:
        rows.append(Row((delta.summed + tail[2],)))
    rows.append(Row(((result,),)))
    distinct = [row for i, row in enumerate(rows) if i == 0 or row.terms != rows[i - 1].terms]
    if len(distinct) > 1 and distinct[-2].terms[0] == (page.number(page.graph.adjoint[node], True),):
        del distinct[-2]
    return [Equation(left, tuple(distinct)), *page.rules(list(delta.rules))], list(delta.opened)


def _over_calls(page: Phrases, node: Value, terms: list[Term]) -> tuple[list[Section], list[Value]]:
    """The block of a weight or bias that several calls of the network use: a sum over the calls."""
    shown = page.largest(terms)
    deltas = {t.consumer: delta_of(page, t.consumer) for t in shown}
    rows = []
    if len({(t.consumer.label, t.operand) for t in terms}) == 1 and len({t.consumer.note for t in terms}) == len(terms):
        where = place(terms[0].consumer)
        assert where is not None
        layer = where[2]
        z = named(terms[0].consumer.label).marked("n")
        weight = _activation(terms[0]) is not None
        a = (Name("a", str(terms[0].operand + 1), f"[{layer - 1}]").marked("n").math,) if weight else ()
        short = (z.lettered("δ").math, *a)
        count = f"n: the {len(terms)} calls of the network"
        rows.append(Row(((_sum_over_n(short),),), _remark(count)))
        delta = deltas[shown[0].consumer]
        if delta is not None:
            own = page.names[shown[0].consumer]
            shared = [Math(f.text.replace(own.text, z.text), f.latex.replace(own.latex, z.latex)) for f in delta.textbook]
            call = _call(page, shown[0].consumer)
            if delta.rules and delta.textbook[0] == delta.leibniz[0]:
                shared[0] = page.derivative(page.names[page.output], z.lettered("a").math)
            elif call:
                shared[0] = Math(shared[0].text.replace(call, "(n)"), shared[0].latex.replace(call, "(n)"))
            rows.append(Row(((_sum_over_n((*shared, *a)),),), delta.remark))
    lines = page.lines(terms, lambda t: _call_line(page, t, deltas[t.consumer]))
    result = page.number(page.graph.adjoint[node])
    opened = [t.consumer for t in shown]
    return [Equation(page.total(node), tuple(rows), lines, (result,))], opened


def _call_line(page: Phrases, term: Term, delta: Delta | None) -> tuple[Math, ...]:
    a = _activation(term)
    symbols = (page.delta(term.consumer), *(() if a is None else (spelled(page.symbol(a), page.style.digits),)))
    numbers = (delta.summed or delta.numbers) if delta is not None else (page.number(term.upstream, True),)
    numbers = numbers if a is None else (*numbers, page.number(term.local, True))
    cells = (joined(TIMES, symbols), joined(TIMES, numbers), page.number(term.value))
    return cells if len(numbers) > 1 else (cells[0], cells[2])


def _sum_over_n(factors: tuple[Math, ...]) -> Math:
    product = joined(Math(" · ", r" \, "), factors)
    return Math("Σ_n " + product.text, r"\sum_{n} " + product.latex)


def _named(page: Phrases, node: Value) -> Math:
    return spelled(page.symbol(node), page.style.digits)


def _sum_of(pairs: list[tuple[Math, Math]], kept: list[int]) -> Math:
    """(δ_1 W_11 + δ_2 W_12 + δ_3 W_13): of a long sum those in `kept`, and how many are left out."""
    products = [joined(TIMES, pairs[i]) for i in kept]
    if len(kept) < len(pairs):
        left_out = f"{len(pairs) - len(kept)} of {len(pairs)} terms left out"
        products.append(Math(f"… {left_out} …", rf"\ldots\ {_remark(left_out).latex}\ \ldots"))
    total = joined(PLUS, products)
    return Math(f"({total.text})", rf"\left({total.latex}\right)")


def _bracketed(m: Math) -> Math:
    """A formula as a factor: in brackets where it is a sum or negative."""
    alone = " + " not in m.text and " − " not in m.text and not m.text.startswith("−")
    return m if alone or (m.text.endswith("]") and m.text.startswith("[")) else Math(f"({m.text})", rf"\left({m.latex}\right)")


def _call(page: Phrases, z: Value) -> str:
    """The mark that tells the calls of a network apart, such as "(7)"; "" where there is one call."""
    name = page.names[z].text
    return name[name.rindex("(") :] if name.endswith(")") else ""


def _index(k: int, other: str) -> str:
    return f"{k}{',' if k > 9 else ''}{other}"


def _remark(text: str) -> Math:
    return Math(text, latex_words(text))


def _known(g: Term | None, count: int) -> Math:
    """The remark beside the textbook's form: which function g is, and the range of l."""
    text, latex = ("a = z", "a = z") if g is None else (f"g = {g.consumer.op}", rf"g = {latex_words(g.consumer.op)}")
    return Math(f"{text}, l = 1, …, {count}", rf"{latex},\ l = 1, \ldots, {count}") if count > 1 else Math(text, latex)
