"""Lengths of what is heard, in seconds: the same for the service and for every level of simulation.

Pure: values only.
"""

from __future__ import annotations

DEBOUNCE = 0.25
"""How long a sound must go on before it is a voice."""
SHORTEST = 0.12
"""A sound shorter than this is a click."""
DETECTOR_QUIET = 0.16
"""How long it must be quiet before Asterisk says that talking has stopped."""
BEEP = 0.25
"""The beep before a recording."""
