"""Nested state and its flat form."""
