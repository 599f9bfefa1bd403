#!/usr/bin/env bash
# What multi-gitter runs in the top folder of each clone: what is certain is written, and what is open is printed.
set -euo pipefail
exec kv-roles migrate --write .
