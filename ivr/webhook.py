"""Tells another system something over HTTP: one POST of JSON, with a time limit.

Rules this module keeps:

- It never raises but when it is cancelled: what went wrong is the answer. Whoever calls decides
  whether to try again.
- The address is a file's, never a caller's; redirects are not followed, and no proxy of the
  environment is used. A token comes from the environment by its variable's name.
- No address, body or token is ever part of the answer, which may be logged.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import httpx

from ivr.clock import Clock
from ivr.web import Client

LIMIT = 10.0
"""Seconds that a system may take to answer."""


class Sender:
    """Posts to webhooks. `environment` has the tokens; `limit` is in seconds."""

    def __init__(
        self, clock: Clock, environment: Mapping[str, str] = os.environ, limit: float = LIMIT
    ) -> None:
        self._clock, self._environment, self._limit = clock, environment, limit
        self._client = Client()

    async def post(self, url: str, token: str, body: Mapping[str, Any]) -> str:
        """Post once. Empty if a status of 200 to 299 came back, else why not, in words."""
        task = asyncio.ensure_future(self._post(url, token, body))
        late = False

        def too_late() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = self._clock.call_later(self._limit, too_late)
        try:
            return await task
        except asyncio.CancelledError:
            if not late:
                task.cancel()
                raise
            return f"no answer within {self._limit:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return type(error).__name__
        finally:
            timer.cancel()

    async def _post(self, url: str, token: str, body: Mapping[str, Any]) -> str:
        headers = {}
        if token:
            value = self._environment.get(token, "")
            if not value:
                return f"the environment has no {token}"
            headers["Authorization"] = f"Bearer {value}"
        with self._clock.busy("webhook"):
            client = await self._client.get()
            # the answer's body is nobody's concern, and may be endless: it is not read
            async with client.stream(
                "POST", url, json=dict(body), headers=headers, timeout=self._limit
            ) as response:
                return "" if response.is_success else f"HTTP status {response.status_code}"

    async def close(self) -> None:
        """Close what is open; whoever posts again opens it again."""
        await self._client.close()
