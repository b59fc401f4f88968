"""How the model's layout changed, and how older checkpoints follow."""

from __future__ import annotations

from ckptkit.plugin import Rename, SectionMigrator, Split
from ckptkit_trainers.diffusion.config import NAME

VERSIONS = {"model": 3}

MIGRATORS = (
    SectionMigrator(
        trainer=NAME, section="model", start=1, stop=2,
        title="the text encoder's names: no text_model, which transformers 5 left out; "
              "text_projection is called project",
        operations=(
            Rename(
                {
                    r"text_encoder.text_model.(.*)": r"text.\1",
                    r"text_projection.(.*)": r"project.\1",
                },
                optional=True,
            ),
        ),
    ),
    SectionMigrator(
        trainer=NAME, section="model", start=2, stop=3,
        title="keys and values of every attention apart, as diffusers has them",
        operations=(
            Split(
                r"unet.(.*).to_kv.weight",
                (r"unet.\1.to_k.weight", r"unet.\1.to_v.weight"),
                optional=True,
            ),
        ),
    ),
)  # fmt: skip
