"""What a network means: ops, the IR, and one pure pass a file."""
