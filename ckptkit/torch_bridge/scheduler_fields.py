"""Which fields of torch's schedulers are hyper-parameters; every other field is position.

Source: the constructors in torch/optim/lr_scheduler.py and swa_utils.py, 2.4 to 2.13.
"""

from __future__ import annotations

SETTINGS: dict[str, tuple[str, ...]] = {
    "LambdaLR": (),
    "MultiplicativeLR": (),
    "StepLR": ("step_size", "gamma"),
    "MultiStepLR": ("milestones", "gamma"),
    "ConstantLR": ("factor", "total_iters"),
    "LinearLR": ("start_factor", "end_factor", "total_iters"),
    "ExponentialLR": ("gamma",),
    "PolynomialLR": ("total_iters", "power"),
    "CosineAnnealingLR": ("T_max", "eta_min"),
    "CosineAnnealingWarmRestarts": ("T_0", "T_mult", "eta_min"),
    "CyclicLR": (
        "max_lrs", "total_size", "step_ratio", "mode", "gamma", "scale_mode", "cycle_momentum",
        "base_momentums", "max_momentums",
    ),
    "OneCycleLR": ("total_steps", "_schedule_phases", "_anneal_func_type", "cycle_momentum"),
    "ReduceLROnPlateau": (
        "mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lrs", "eps",
        "default_min_lr", "mode_worse",
    ),
    "SequentialLR": ("_milestones",),
    "ChainedScheduler": (),
    "SWALR": ("anneal_epochs", "_anneal_strategy"),
}  # fmt: skip

#: Fields that some versions of torch, or some arguments, leave out.
OPTIONAL = (
    "verbose", "default_min_lr", "mode_worse", "_scale_fn_custom", "base_momentums",
    "max_momentums", "use_beta1", "_is_initial", "_get_lr_called_within_step", "_last_lr",
    "_step_count", "_anneal_func_type", "_schedule_phases", "_schedulers", "lr_lambdas",
)  # fmt: skip

#: Computed from another field, and no row of their own in a report.
DERIVED = ("_schedule_phases", "mode_worse", "step_ratio")

#: One value for each group of the optimizer.
PER_GROUP = (
    "base_lrs", "_last_lr", "max_lrs", "min_lrs", "base_momentums", "max_momentums", "lr_lambdas",
)  # fmt: skip

#: Settings that a schedule keeps in the optimizer's groups.
GROUP_FIELDS = (
    "initial_lr", "max_lr", "min_lr", "swa_lr", "max_momentum", "base_momentum",
)  # fmt: skip

#: What a schedule writes into the groups at every step.
DRIVEN = ("lr", "momentum", "betas")


def classes_with(fields: set[str]) -> list[str]:
    """Name the schedulers that have all of these hyper-parameters; the closest first."""
    fitting = [name for name, own in SETTINGS.items() if fields and fields <= set(own)]
    return sorted(fitting, key=lambda name: len(SETTINGS[name]))


def known_fields() -> frozenset[str]:
    """Every hyper-parameter of any scheduler of torch."""
    return frozenset(field for own in SETTINGS.values() for field in own)
