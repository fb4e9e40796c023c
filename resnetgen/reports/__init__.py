"""Reports: what a network costs and what it looks like."""
