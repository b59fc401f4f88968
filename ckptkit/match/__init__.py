"""Which stored name fills which wanted one: pure decisions over names, shapes and dtypes."""
