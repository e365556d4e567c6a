"""One rule or expression, written in a language, and read back from text.

    symbol                                what the rule book gives on symbols: formulas, with their numbers
    text, latex                           a formula as text and as LaTeX
    tidy                                  a formula as one would write it by hand
    python, c, javascript                 a formula or a row of the rule book as code; functions.js goes with javascript
    sympy, networkx                       a whole graph for these libraries
    parse                                 text to a graph
    label, described, mistakes            labels as mathematics; help() of a row; the classic mistakes in a backward pass

Begin with `symbol`: all languages write its formulas.
"""
