"""Pictures, captions and sounds in one space: what belongs together lies close."""
