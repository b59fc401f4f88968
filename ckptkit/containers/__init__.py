"""Bytes to trees with lazy tensors; nothing here knows what a key means."""
