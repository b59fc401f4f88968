"""What a checkpoint means: versions, sections, manifest."""
