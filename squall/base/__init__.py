"""What every other room stands on: dtypes, shapes, symbolic sizes, pytrees, configuration, caches, errors, trace."""
