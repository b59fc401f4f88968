"""How `recover` finds what a damaged checkpoint still holds, one step a module."""
