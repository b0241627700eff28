"""Loops around an instruction set's inner step: one file a kind of kernel."""
