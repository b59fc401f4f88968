"""Buildings found in aerial pictures: SegFormer, BuildFormer and a U-Net."""
