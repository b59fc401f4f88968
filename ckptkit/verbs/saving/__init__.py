"""The parts of the verb ``save``."""
