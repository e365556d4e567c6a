"""Checks of what people wrote: `gradcheck` of a function's gradients, `find_bug` of a Value class of one's own."""
