"""The passes: each a pure function from one form of a network to the next."""
