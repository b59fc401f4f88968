"""Small operations over names and lazy tensors, of which migrators of sections are made."""
