#!/bin/sh
set -eu
cd "$(dirname "$0")"
is() { [ "$1" = "$2" ] || { echo "expected '$2', got '$1'" >&2; exit 1; }; }
is "$(printf '' | sh ./handler.sh)" 'Hello, world!'
is "$(printf 'Ada' | sh ./handler.sh)" 'Hello, Ada!'
echo ok
