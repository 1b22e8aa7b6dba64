"""What every test stands on: Ctrl-C interrupts, also where the run was started with it ignored.

A shell starts background work with the interrupt signal ignored; processes inherit that, and the tests that interrupt
squall would wait for nothing. And kernels are made once: code in a hurry would be made again in nearly every test, and
has tests of its own.

Examples that hypothesis makes are the same in each run, on any machine, and may take any time to make or to run; with
SQUALL_EXPLORE=1 they are new ones each time, which is for a person who looks for what is still wrong.
"""

import os
import signal

import hypothesis

os.environ.setdefault("SQUALL_HURRY", "0")
slow = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeated", derandomize=True, database=None, **slow)
hypothesis.settings.register_profile("exploring", print_blob=True, **slow)
hypothesis.settings.load_profile("exploring" if os.environ.get("SQUALL_EXPLORE", "0") == "1" else "repeated")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
