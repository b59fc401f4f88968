"""Settings of a training, as far as an action changes them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ckptkit_trainers.segmentation.config import Config


def renewed(config: Config, **changes: Any) -> Config:
    """Return the settings with those changes that were asked for: what is empty was not."""
    asked = {name: value for name, value in changes.items() if value}
    return dataclasses.replace(config, pretrained="", **asked)
