"""How the network's names and parts changed, and what leads old checkpoints to today's.

Released ones are never edited: the keys are literal, and no class of today is used.
"""

from __future__ import annotations

from ckptkit.plugin import Rename, SectionMigrator, Split

TRAINER = "restoration"
VERSIONS = {"model": 3}

MIGRATORS = (
    SectionMigrator(
        trainer="restoration", section="model", start=1, stop=2,
        title="levels are lists from 0 on: enc1.conv1 became encoder.0.first, up1 decoder.0.rise",
        operations=(
            Rename({
                "bottleneck.conv1.(.*)": r"bottom.first.\1",
                "bottleneck.conv2.(.*)": r"bottom.second.\1",
                "out.(.*)": r"head.\1",
                "enc1.conv1.(.*)": r"encoder.0.first.\1", "enc1.conv2.(.*)": r"encoder.0.second.\1",
                "enc2.conv1.(.*)": r"encoder.1.first.\1", "enc2.conv2.(.*)": r"encoder.1.second.\1",
                "enc3.conv1.(.*)": r"encoder.2.first.\1", "enc3.conv2.(.*)": r"encoder.2.second.\1",
                "enc4.conv1.(.*)": r"encoder.3.first.\1", "enc4.conv2.(.*)": r"encoder.3.second.\1",
                "enc5.conv1.(.*)": r"encoder.4.first.\1", "enc5.conv2.(.*)": r"encoder.4.second.\1",
                "dec1.conv1.(.*)": r"decoder.0.first.\1", "dec1.conv2.(.*)": r"decoder.0.second.\1",
                "dec2.conv1.(.*)": r"decoder.1.first.\1", "dec2.conv2.(.*)": r"decoder.1.second.\1",
                "dec3.conv1.(.*)": r"decoder.2.first.\1", "dec3.conv2.(.*)": r"decoder.2.second.\1",
                "dec4.conv1.(.*)": r"decoder.3.first.\1", "dec4.conv2.(.*)": r"decoder.3.second.\1",
                "dec5.conv1.(.*)": r"decoder.4.first.\1", "dec5.conv2.(.*)": r"decoder.4.second.\1",
                "up1.(.*)": r"decoder.0.rise.\1", "up2.(.*)": r"decoder.1.rise.\1",
                "up3.(.*)": r"decoder.2.rise.\1", "up4.(.*)": r"decoder.3.rise.\1",
                "up5.(.*)": r"decoder.4.rise.\1",
            }),
        ),
    ),
    SectionMigrator(
        trainer="restoration", section="model", start=2, stop=3,
        title="a decoder's first convolution is two, of what rises from below and of the skip",
        operations=(
            Split(
                r"decoder.(\d+).first.weight",
                (r"decoder.\1.below.weight", r"decoder.\1.skip.weight"), axis=1,
            ),
            Rename({r"decoder.(\d+).first.bias": r"decoder.\1.below.bias"}),
        ),
    ),
)  # fmt: skip
