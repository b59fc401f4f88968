"""One file a framework: whose keys mean what."""
