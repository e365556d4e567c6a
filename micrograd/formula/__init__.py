"""One rule or expression, written in a language: symbols of the rule book, text, mathematics, and the parser back."""
