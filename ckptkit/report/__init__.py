"""What a plan says before and a report says after: values, their text, their JSON. Pure."""
