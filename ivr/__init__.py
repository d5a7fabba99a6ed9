"""sansheng (三声): a hotline engine for Asterisk.

Read in this order: `events`, `actions`, `call`, one flow under `flows/`, one scenario
under `tests/scenarios/`.
"""
