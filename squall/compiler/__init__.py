"""Compiler: from a graph to a plan."""
