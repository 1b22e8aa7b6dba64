"""The version, in one place: packages are built from it, and compiled kernels on disk are keyed by it."""

VERSION = "0.1.0"
