"""The process that measures one case: pinned to its cores before anything that starts threads is imported."""

import json
import os
import sys

# Libraries read these, and the cores they may use, once: when they are loaded.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SQUALL_NUM_THREADS")


def pin(threads: int) -> None:
    """Keep this process to that many cores and tell every library so."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[:threads]))
    for name in VARIABLES:
        os.environ[name] = str(threads)


def main(request: dict) -> None:
    """Pin, load the cases, measure one, and print the outcomes as the last line."""
    pin(request["threads"])
    from benchmarks import harness
    from benchmarks.cases import load

    load()
    print("\n" + json.dumps(harness.measure_request(request)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
