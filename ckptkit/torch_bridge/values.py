"""What the bridge is asked to fill; importable without torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckptkit.nodes import TensorNode


class Fill(NamedTuple):
    """One live tensor and the stored one whose bytes it gets.

    ``tensor`` (torch.Tensor) has the wanted dtype, device and strides; its memory is written in
    place. ``node`` has the same shape; its dtype may differ (a cast). ``factor`` is multiplied in
    (a mask). ``digest`` is the xxh3-128 of ``node``'s contiguous bytes, b"" where nobody took one:
    a sealed checkpoint's own are looked up. ``whole`` is the stored tensor that ``node`` is only
    a part of (a slice). ``where`` is the place in the checkpoint, for errors.
    """

    tensor: Any
    node: TensorNode
    where: str
    digest: bytes = b""
    factor: TensorNode | None = None
    whole: TensorNode | None = None
