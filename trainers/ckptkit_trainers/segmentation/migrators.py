"""Versions of the saved model: what its tensors were called, and how they became today's names.

Version 1 has the names of the scripts that came before: SegFormer's as transformers 4 wrote them,
BuildFormer's with query, key and value in one matrix, the U-Net's of blocks in a row. Which of
the three a checkpoint holds is not asked: no name of one is a name of another.
"""

from __future__ import annotations

from ckptkit.plugin import Rename, SectionMigrator, Split

TRAINER = "segmentation"
VERSIONS = {"model": 2}

_OLD_BLOCK = r"segformer.encoder.block.(\d+).(\d+)."
_NEW_BLOCK = r"segformer.stages.\1.blocks.\2."
_IN_A_BLOCK = {
    "layer_norm_1": "layernorm_before", "layer_norm_2": "layernorm_after",
    "attention.self.query": "attention.q_proj", "attention.self.key": "attention.k_proj",
    "attention.self.value": "attention.v_proj", "attention.output.dense": "attention.o_proj",
    "attention.self.sr": "attention.sequence_reduction.sequence_reduction",
    "attention.self.layer_norm": "attention.sequence_reduction.layer_norm",
    "mlp.dense1": "mlp.fc1", "mlp.dense2": "mlp.fc2", "mlp.dwconv": "mlp.dwconv",
}  # fmt: skip
SEGFORMER = {
    r"segformer.encoder.patch_embeddings.(\d+).(.*)": r"segformer.stages.\1.patch_embeddings.\2",
    r"segformer.encoder.layer_norm.(\d+).(.*)": r"segformer.stages.\1.layer_norm.\2",
    "decode_head.linear_c.(.*)": r"decode_head.linear_projections.\1",
    **{f"{_OLD_BLOCK}{old}.(.*)": rf"{_NEW_BLOCK}{new}.\3" for old, new in _IN_A_BLOCK.items()},
}
BUILDFORMER = {
    "backbone.stem.(.*)": r"stem.\1",
    r"backbone.stages.(\d+).downsample.(.*)": r"stages.\1.shrink.\2",
    r"backbone.stages.(\d+).norm.(.*)": r"stages.\1.norm.\2",
    r"backbone.stages.(\d+).blocks.(\d+).(norm[12]).(.*)": r"stages.\1.blocks.\2.\3.\4",
    r"backbone.stages.(\d+).blocks.(\d+).attn.proj.(.*)": r"stages.\1.blocks.\2.attention.out.\3",
    r"backbone.stages.(\d+).blocks.(\d+).mlp.fc1.(.*)": r"stages.\1.blocks.\2.mix.widen.\3",
    r"backbone.stages.(\d+).blocks.(\d+).mlp.dwconv.(.*)": r"stages.\1.blocks.\2.mix.near.\3",
    r"backbone.stages.(\d+).blocks.(\d+).mlp.fc2.(.*)": r"stages.\1.blocks.\2.mix.narrow.\3",
    "spatial_path.(.*)": r"details.\1",
    "fpn.lateral.(.*)": r"laterals.\1",
    "fuse.(.*)": r"join.\1",
    "seg_head.(.*)": r"head.\1",
}
_QKV = r"backbone.stages.(\d+).blocks.(\d+).attn.qkv.(weight|bias)"
_APART = tuple(rf"stages.\1.blocks.\2.attention.{one}.\3" for one in ("query", "key", "value"))
_PLACES = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}  # in an old nn.Sequential
UNET = {
    **{f"inc.double_conv.{old}.(.*)": rf"down.0.{new}.\1" for old, new in _PLACES.items()},
    **{rf"down(\d).maxpool_conv.1.double_conv.{old}.(.*)": rf"down.\1.{new}.\2"
       for old, new in _PLACES.items()},
    **{f"up{up}.conv.double_conv.{old}.(.*)": rf"merge.{up - 1}.{new}.\1"
       for up in (1, 2, 3, 4) for old, new in _PLACES.items()},
    **{f"up{up}.up.(.*)": rf"up.{up - 1}.\1" for up in (1, 2, 3, 4)},
    "outc.conv.(.*)": r"logit.\1",
}  # fmt: skip

MIGRATORS = (
    SectionMigrator(
        trainer=TRAINER,
        section="model",
        start=1,
        stop=2,
        title="one naming for all models; BuildFormer's query, key and value apart",
        operations=(
            Rename(SEGFORMER, optional=True),
            Split(_QKV, _APART, optional=True),
            Rename(BUILDFORMER, optional=True),
            Rename(UNET, optional=True),
        ),
    ),
)
