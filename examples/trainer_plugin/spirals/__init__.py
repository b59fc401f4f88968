"""A trainer in a package of its own: tells two spirals apart."""
