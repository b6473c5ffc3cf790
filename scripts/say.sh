# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# How the scripts speak: one line for each step, a step's output only when it fails.
MICROVMI_ROOT=${MICROVMI_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
# Where the output of the steps is kept.
LOGS=$MICROVMI_ROOT/build/log

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# quietly LOG WHAT COMMAND...: says WHAT, keeps the output, shows it if COMMAND fails.
quietly() {
  local log=$LOGS/$1.log what=$2 status=0
  shift 2
  say "$what"
  mkdir -p "$LOGS"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    cat "$log" >&2
    printf '%s: failed with status %s; its output is in %s\n' "$what" "$status" "$log" >&2
  fi
  return "$status"
}

# compile PRESET [TARGET...]: configures and builds one preset.
compile() {
  local preset=$1
  shift
  cd "$MICROVMI_ROOT" || return
  # Without the list of an earlier build, so that a driver which came since is built.
  quietly "configure-$preset" "configuring build/$preset" \
    cmake --preset "$preset" -UMICROVMI_DRIVERS -UMICROVMI_CONNECTORS || return
  quietly "build-$preset" "building build/$preset" \
    cmake --build --preset "$preset" ${1:+--target "$@"}
}
