"""What restore is made of: one file a kind of live object, each a plan first and an act second."""
