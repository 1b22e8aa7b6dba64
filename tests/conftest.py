"""What every test stands on: Ctrl-C interrupts, also where the run was started with it ignored.

A shell starts background work with the interrupt signal ignored; processes inherit that, and the tests that interrupt
squall would wait for nothing. And kernels are made once: code in a hurry would be made again in nearly every test, and
has tests of its own.
"""

import os
import signal

os.environ.setdefault("SQUALL_HURRY", "0")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
