"""Why a gradient is what it is: the chain rule of the user's own expression, in words, symbols, numbers and code.

`engine` made the graph, which nothing here changes. No derivative is known here: `formula` asks the rule book. `explain` writes
the chain rule for one gradient (`chain`, `network` and `closed_form`, from the pieces in `phrases`, on the page of `layout`).
`why` looks for what is unusual about a gradient (`diagnosis` and `origins`). `to_code` lists the whole computation (`listing`).
All of these read the graph through `contributions` and take the names of Values from `names`; `lookup` finds a Value by its
name.
"""

from micrograd.explain.chain import Explanation, explain
from micrograd.explain.contributions import Path, Term
from micrograd.explain.diagnosis import Why, why
from micrograd.explain.listing import Listing, to_code
from micrograd.explain.lookup import find, only
from micrograd.explain.names import name_from

__all__ = ["Explanation", "Listing", "Path", "Term", "Why", "explain", "find", "name_from", "only", "to_code", "why"]
