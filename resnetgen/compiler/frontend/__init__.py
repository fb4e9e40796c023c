"""The front end: from YAML text to a checked document, with every position kept."""
