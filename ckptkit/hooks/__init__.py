"""The plugin system: hook specifications, manager, built-in parts."""
