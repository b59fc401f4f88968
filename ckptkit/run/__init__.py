"""The resumable run: position, random streams, history, aliases, emergencies, retention."""
