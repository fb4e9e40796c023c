"""What is printed: the plan of a module, and its text."""
