"""Machines that run linear programs: text writers shared by LLVM targets, and a folder for each backend."""
