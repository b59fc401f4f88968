"""Programs that use ckptkit as any user would: the trainers."""
