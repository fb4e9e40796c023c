"""The intermediate representation: its nodes, and the table of ops."""
