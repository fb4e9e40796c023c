"""The spec language: reading, checking and reporting."""
