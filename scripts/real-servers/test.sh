#!/usr/bin/env bash
# Runs the tests against real servers and sees that each one of a list ran on every version and passed: a
# test that is gone, renamed or filtered out is a failure.
#
#   test.sh [asterisk|kamailio]   both without an argument; needs `asterisk.sh install`, `kamailio.sh install`
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0

# run SERVER LIST THREADS VERSION... -- PACKAGE...; a version as modules of the tests are called.
run() {
  local server=$1 list=$2 threads=$3 versions=() package name module version
  shift 3
  while [[ $1 != -- ]]; do
    versions+=("$1")
    shift
  done
  shift
  mkdir "$logs/$server"
  for package; do
    cargo test -p "$package" --all-features --test "real_$server" -- --ignored --test-threads "$threads" 2>&1 |
      tee "$logs/$server/$package" || failed=1
  done

  local listed=0 passed
  while read -r package name; do
    # `fax::it_works` ran as `fax::asterisk_16::it_works`.
    module=${name%"${name##*::}"}
    for version in "${versions[@]}"; do
      listed=$((listed + 1))
      if ! grep -qx "test ${module}${server}_$version::${name##*::} \.\.\. ok" "$logs/$server/$package"; then
        echo "did not pass: $package $module ${server}_$version ${name##*::}" >&2
        failed=1
      fi
    done
  done <"$list"

  passed=$(cat "$logs/$server"/* | sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }')
  if ((passed != listed)); then
    echo "$passed tests passed and $list has $listed: add the new ones" >&2
    failed=1
  fi
}

case ${1:-all} in
  asterisk | kamailio | all) ;;
  *)
    sed -n '5p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
[[ ${1:-all} == kamailio ]] || run asterisk "$here/tests.txt" 4 16 22 -- faxbot-sip faxbot-providers
[[ ${1:-all} == asterisk ]] || run kamailio "$here/kamailio-tests.txt" 4 5_6 6_1 -- faxbot-sip
exit "$failed"
