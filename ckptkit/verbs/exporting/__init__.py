"""The parts of ``export``: what goes out, in which form, and the proof."""
