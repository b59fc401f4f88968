"""What `migrate --autogenerate` is made of: what differs between two models, and how it is said."""
