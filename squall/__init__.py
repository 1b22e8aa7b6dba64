"""squall: deep learning in Python that records programs lazily, differentiates, fuses and compiles them.

The public names are loaded on first touch, so that `import squall` stays quick and loads neither numpy nor llvmlite.
"""

__version__ = "0.1.0"
