"""Text to sign-language GIF: a text-conditional diffusion model of short clips."""
