"""The contract of every trainer, kept by this one."""

from ckptkit.testing.trainer_contract import TrainerContract


class TestSpirals(TrainerContract):
    trainer = "spirals"
    tiny = {"epochs": 3, "points": 40, "batch_size": 8, "hidden": 6}
    architecture = {"hidden": 8, "activation": "relu"}
    free = {"epochs": 4, "lr": 1e-3, "batch_size": 4}
    processes = 1  # it has no use for more
