"""Trainers of plugins: found by name, set up from a dataclass, started, gone on with, and used."""
