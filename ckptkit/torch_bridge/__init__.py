"""Live torch objects to nodes and bytes, and back: the only room that imports torch."""
