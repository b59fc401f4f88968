"""What the migration of sections is made of: names, averages, optimizers, and the account of it."""
