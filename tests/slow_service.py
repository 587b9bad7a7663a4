"""The service as a process of its own, with a model that takes `argv[1]` seconds a batch; it drains for `argv[2]`."""

import asyncio
import sys

if __name__ == "__main__":  # not above: the processes for local work read this file too
    from doubles import SlowPredictor
    from sidelight.config import Config, Engine, Server
    from sidelight.wiring import serve

    config = Config(Server(port=0, metrics_port=0, drain_seconds=float(sys.argv[2])), engine=Engine(poll_seconds=0.05))
    asyncio.run(serve(config, {"linear": lambda: SlowPredictor(float(sys.argv[1]))}))
