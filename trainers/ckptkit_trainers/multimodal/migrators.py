"""How older brains become today's."""

from __future__ import annotations

from ckptkit.plugin import Pad, Rename, SectionMigrator, Split

VERSIONS = {"model": 3}

#: transformers 5 calls the layers of its ViT by other names than transformers 4 did.
_OLD_VIT = {
    r"image.encoder.encoder.layer.(\d+).attention.attention.query.(.*)":
        r"image.encoder.layers.\1.attention.q_proj.\2",
    r"image.encoder.encoder.layer.(\d+).attention.attention.key.(.*)":
        r"image.encoder.layers.\1.attention.k_proj.\2",
    r"image.encoder.encoder.layer.(\d+).attention.attention.value.(.*)":
        r"image.encoder.layers.\1.attention.v_proj.\2",
    r"image.encoder.encoder.layer.(\d+).attention.output.dense.(.*)":
        r"image.encoder.layers.\1.attention.o_proj.\2",
    r"image.encoder.encoder.layer.(\d+).intermediate.dense.(.*)":
        r"image.encoder.layers.\1.mlp.fc1.\2",
    r"image.encoder.encoder.layer.(\d+).output.dense.(.*)":
        r"image.encoder.layers.\1.mlp.fc2.\2",
    r"image.encoder.encoder.layer.(\d+).layernorm_(before|after).(.*)":
        r"image.encoder.layers.\1.layernorm_\2.\3",
}  # fmt: skip

_FUSED = r"join.layers.(\d+).self_attn.in_proj_(weight|bias)"

MIGRATORS = [
    SectionMigrator(
        trainer="multimodal", section="model", start=1, stop=2,
        title="parts have their modality's name; query, key and value are apart",
        operations=(
            Rename({
                r"img_enc.(.*)": r"image.encoder.\1",
                r"txt_enc.(.*)": r"text.encoder.\1",
                r"up_img.(weight|bias)": r"adapters.image.\1",
                r"up_txt.(weight|bias)": r"adapters.text.\1",
                r"modality_emb": r"kinds",
                r"brain_token": r"join.summary",
                r"brain_norm.(weight|bias)": r"join.norm.\1",
                r"brain.layers.(\d+).(.*)": r"join.layers.\1.\2",
                r"word_head.(weight|bias)": r"words.\1",
                r"logit_scale": r"log_scale",
            }),
            Split(_FUSED, (r"join.layers.\1.q.\2", r"join.layers.\1.k.\2", r"join.layers.\1.v.\2")),
            Rename({
                r"join.layers.(\d+).self_attn.out_proj.(.*)": r"join.layers.\1.out.\2",
                r"join.layers.(\d+).linear1.(.*)": r"join.layers.\1.up.\2",
                r"join.layers.(\d+).linear2.(.*)": r"join.layers.\1.down.\2",
            }),
            Rename(_OLD_VIT, optional=True),
        ),
    ),
    SectionMigrator(
        trainer="multimodal", section="model", start=2, stop=3,
        title="the table of modalities has a row for sound",
        operations=(Pad("kinds", ((0, 1), (0, 0))),),
    ),
]  # fmt: skip
