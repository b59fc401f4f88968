"""The migrators between schema versions; frozen once released."""
