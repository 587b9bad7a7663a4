"""Networks are made one at a time.

Libraries import themselves lazily, which two threads must not have them do at once (transformers then lacks a class or
two), and change torch's default dtype while they load weights, for all threads.
"""

import threading

ONE_BY_ONE = threading.Lock()
