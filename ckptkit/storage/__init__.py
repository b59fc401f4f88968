"""The promise that a checkpoint is whole: stage, write, sync, commit."""
