#!/usr/bin/env bash
# Every test: first those that need no Asterisk, side by side; then the live calls.
# Both run even if the first fails; a skipped test without an allowed reason fails (tests/skips.py).
set -uo pipefail
cd "$(dirname "$0")/.."

export PYTHONPATH=tests
pytest=(.venv/bin/python -m pytest -p skips)
code=0
began=$(date +%s)

echo "== unit, core and wire"
"${pytest[@]}" -q -n 2 -m 'not live' "$@" || code=1
echo "== live calls (a real Asterisk, real SIP; $(($(date +%s) - began)) s so far)"
# The calls that many tests look at are placed once, by one process; the other does the rest
# meanwhile (tests that break things start services of their own). It is shown when it is done.
others=$(mktemp)
trap 'rm -f "$others"' EXIT
"${pytest[@]}" -v --durations=6 -m 'live and not slow_live and not stage' "$@" >"$others" 2>&1 &
"${pytest[@]}" -v --durations=6 -m 'live and not slow_live and stage' "$@" || code=1
wait $! || code=1
cat "$others"
echo "== all tests: $([ $code = 0 ] && echo passed || echo FAILED) in $(($(date +%s) - began)) s"
exit $code
