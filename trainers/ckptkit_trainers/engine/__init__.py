"""What the four trainers have in common: settings, the device and its processes, pictures."""
