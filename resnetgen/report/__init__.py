"""What is said about a network: tables, JSON, the elaborated network as text."""
