"""ckptkit: open, check, migrate and seal PyTorch checkpoints."""
