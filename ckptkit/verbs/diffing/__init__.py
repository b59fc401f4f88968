"""The parts of ``diff``: leaves, pairs, digests, figures, settings."""
