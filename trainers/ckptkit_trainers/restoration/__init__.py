"""Restoration: a U-Net takes Gaussian noise out of photographs."""
