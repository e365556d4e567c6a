"""What runs a tape: `reference` (the definition), `numpy`, and `llvm`, machine code."""
