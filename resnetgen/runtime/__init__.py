"""Everything that needs torch: loading, verifying, compiling and timing modules."""
