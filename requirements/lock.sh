#!/usr/bin/env bash
# Writes the lock files from pyproject.toml, with hashes; names no package index.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip install --quiet uv  # only needed here

lock() {
    echo "locking $1"
    .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --python-version 3.11 \
        --custom-compile-command 'make lock' pyproject.toml -o "requirements/$1.lock" "${@:2}"
}

lock dev --extra dev --extra postgresql
lock base -c requirements/dev.lock
lock kokoro -c requirements/dev.lock --extra kokoro
