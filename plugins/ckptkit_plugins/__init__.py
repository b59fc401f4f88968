"""One small module for each meeting of two worlds: registration, no logic."""
