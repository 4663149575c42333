"""YAML text to an immutable, checked Config."""
