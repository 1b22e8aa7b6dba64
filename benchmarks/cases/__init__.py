"""The programs that are measured, a file for each group; `load` puts them into `harness.CASES`."""


def load() -> None:
    """Import every group, each of which registers its cases."""
    from benchmarks.cases import convnets, gpt, lstm, matmul, mlp, overhead, small, startup  # noqa: F401
