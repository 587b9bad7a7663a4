"""Retries by the policy that the protocol publishes (`service_config.json`): UNAVAILABLE only.

The policy is carried out here and not by gRPC's channel, because the channel does not know of RetryInfo, by which the
service says how long it will be away.
"""

import json
import random
import time
from dataclasses import dataclass
from functools import cache
from importlib import resources

import grpc

from sidelight_client.errors import SidelightError


@dataclass(frozen=True)
class RetryPolicy:
    """gRPC's `retryPolicy`; times in seconds."""

    max_attempts: int
    initial_backoff: float
    max_backoff: float
    multiplier: float
    codes: frozenset[grpc.StatusCode]


@cache
def published_policy() -> RetryPolicy:
    """The policy in the service config that is shipped with the protocol."""
    config = json.loads(resources.files("sidelight_proto.v1").joinpath("service_config.json").read_text())
    policy = config["methodConfig"][0]["retryPolicy"]
    return RetryPolicy(
        max_attempts=policy["maxAttempts"],
        initial_backoff=float(policy["initialBackoff"].removesuffix("s")),
        max_backoff=float(policy["maxBackoff"].removesuffix("s")),
        multiplier=policy["backoffMultiplier"],
        codes=frozenset(grpc.StatusCode[name] for name in policy["retryableStatusCodes"]),
    )


class Attempts:
    """The attempts of one call, all within one deadline (seconds from now)."""

    def __init__(self, deadline: float, patient: bool = False) -> None:
        """`patient` attempts go on until the deadline, close together, for a service that is starting."""
        self.policy = published_policy()
        self.deadline = deadline
        self._patient = patient
        self._ends = time.monotonic() + deadline
        self._failed = 0

    def remaining(self) -> float:
        """Seconds left for the next attempt."""
        return max(0.0, self._ends - time.monotonic())

    def pause(self, error: SidelightError) -> float:
        """Seconds to wait before the next attempt; raises `error` where there is to be none."""
        self._failed += 1
        exhausted = self._failed >= self.policy.max_attempts and not self._patient
        if error.code not in self.policy.codes or exhausted:
            raise error from None
        growth = 1.0 if self._patient else self.policy.multiplier ** (self._failed - 1)
        # Spread, so that clients that failed together do not come back together.
        pause = min(self.policy.initial_backoff * growth, self.policy.max_backoff) * random.uniform(0.8, 1.2)
        pause = max(pause, error.details.retry_after or 0.0)
        if pause >= self.remaining():
            raise error from None
        return pause
