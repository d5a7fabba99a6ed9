"""The HTTP client for other systems, made beside the calls.

Rules this module keeps:

- Making one loads what connections and their encryption need, a tenth of a second of the processor
  the first time: that is done in a thread, so that no call waits for it.
- The address is a file's, never a caller's; redirects are not followed, and no proxy of the
  environment is used.
"""

from __future__ import annotations

import asyncio

import anyio
import httpx


class Client:
    """A client that is made when it is first wanted. `made` can be given by tests."""

    def __init__(self, made: httpx.AsyncClient | None = None) -> None:
        self._made = made
        self._making = asyncio.Lock()

    async def get(self) -> httpx.AsyncClient:
        """The client; the same until it is closed."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_make)
            return self._made

    async def close(self) -> None:
        """Close what is open; whoever asks for a client again opens another."""
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()


def _make() -> httpx.AsyncClient:
    anyio.run(anyio.sleep, 0)  # httpx stands on it, and would load the rest at the first question
    return httpx.AsyncClient(follow_redirects=False, trust_env=False)
