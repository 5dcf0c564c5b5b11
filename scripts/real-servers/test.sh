#!/usr/bin/env bash
# Runs the tests against real Asterisk 16 and 22 and sees that each one of tests.txt ran on both and
# passed: a test that is gone, renamed or filtered out is a failure. Needs `asterisk.sh install`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0
for package in faxbot-sip faxbot-providers; do
  cargo test -p "$package" --all-features --test real_asterisk -- --ignored --test-threads 4 2>&1 |
    tee "$logs/$package" || failed=1
done

listed=0
while read -r package name; do
  # `fax::it_works` ran as `fax::asterisk_16::it_works`.
  module=${name%"${name##*::}"}
  for version in 16 22; do
    listed=$((listed + 1))
    if ! grep -qx "test ${module}asterisk_$version::${name##*::} \.\.\. ok" "$logs/$package"; then
      echo "did not pass: $package $module asterisk_$version ${name##*::}" >&2
      failed=1
    fi
  done
done <"$here/tests.txt"

passed=$(cat "$logs"/* | sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }')
if ((passed != listed)); then
  echo "$passed tests passed and tests.txt has $listed: add the new ones" >&2
  failed=1
fi
exit "$failed"
