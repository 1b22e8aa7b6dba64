"""What every test stands on: Ctrl-C interrupts, also where the run was started with it ignored.

A shell starts background work with the interrupt signal ignored; processes inherit that, and the tests that interrupt
squall would wait for nothing.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
