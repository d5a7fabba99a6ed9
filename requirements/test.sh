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
# three workers for two cores: many tests wait for processes of their own
"${pytest[@]}" -q -n 3 -m 'not live and not deep' "$@" || code=1
echo "== live calls (a real Asterisk, real SIP; $(($(date +%s) - began)) s so far)"
# The calls that many tests look at are placed once, by one process; two others do the rest
# meanwhile (with services of their own). Theirs is shown when they are done.
quick='live and not slow_live'
parts=("$quick and not stage and not people" "$quick and people")
shown=() running=()
trap 'rm -f "${shown[@]}"' EXIT
for part in "${parts[@]}"; do
    file=$(mktemp)
    shown+=("$file")
    "${pytest[@]}" -v --durations=6 -m "$part" "$@" >"$file" 2>&1 &
    running+=($!)
done
"${pytest[@]}" -v --durations=6 -m "$quick and stage" "$@" || code=1
for part in "${!parts[@]}"; do
    wait "${running[$part]}" || code=1
    cat "${shown[$part]}"
done
echo "== all tests: $([ $code = 0 ] && echo passed || echo FAILED) in $(($(date +%s) - began)) s"
exit $code
