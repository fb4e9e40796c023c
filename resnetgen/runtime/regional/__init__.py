"""Regional compilation: torch.compile, but equal blocks are compiled once."""
