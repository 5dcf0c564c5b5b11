# shellcheck shell=bash disable=SC2154
# What the real servers have in common: Debian chroots, instances with slots of ports, starting and
# stopping. A server's script sets `self` (its own path), `server` (its name in paths), `product` (its
# name in messages), `versions`, `packages` (in the chroot), `first_port`, `ports_per_slot`, `slots` and
# `control_ports` (how many ports at the start of a slot must be free), sources this file, defines
#
#   suite_of VERSION             prints the Debian suite, fails for an unknown version
#   check_version VERSION        prints what the chroot has, fails if it is something else
#   configure VERSION NAME [OPTION...]
#   run_server VERSION NAME      becomes the server, by exec and without another fork
#   wait_booted VERSION NAME [CHILD]
#   print_env VERSION NAME DIR BASE PID
#
# and ends with `dispatch "$@"`. It may define server_pids and cmd_cli too.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=$(realpath -m "${FAXBOT_REAL_SERVERS:-$repository/.real-servers}")
# The servers run as other users and must be able to walk to their files.
umask 022
# Where instances live as the server sees it. Outside, the chroot's path stands before it: the tests
# of path mapping depend on these two being different.
inside=/srv/faxbot

fail() {
  echo "${self##*/}: $*" >&2
  exit 1
}

usage() {
  sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$self" >&2
  exit 2
}

need_root() {
  [[ $(id -u) -eq 0 ]] || fail "must run as root: it uses debootstrap and chroot"
}

root_of() { echo "$cache/$server$1"; }
outside_of() { echo "$(root_of "$1")$inside/$2"; }

check_instance() {
  suite_of "$1" >/dev/null
  [[ $2 =~ ^[A-Za-z0-9_-]{1,40}$ ]] || fail "bad instance name '$2'"
  [[ -e "$(root_of "$1").complete" ]] || fail "$product $1 is not installed: run ${self##*/} install"
}

# --- install -----------------------------------------------------------------------------------

# The URIs of the machine's apt sources, both notations, in their order.
apt_uris() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -f $file ]] || continue
    sed -nE 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -f $file ]] || continue
    # `URIs:` may go on over indented lines.
    awk 'tolower($1) == "uris:" { on = 1; $1 = "" } /^[^ \t]/ && tolower($0) !~ /^uris:/ && NF && $0 !~ /^ / { on = 0 }
         on && $0 !~ /^#/ { for (i = 1; i <= NF; i++) print $i }' "$file"
  done
}

# Each source as it stands, then the places where mirrors keep releases that have left the main
# archive: a sibling folder, and a host of the same domain called `archive`.
mirror_candidates() {
  local uri
  if [[ -n ${FAXBOT_DEBIAN_MIRROR:-} ]]; then
    echo "$FAXBOT_DEBIAN_MIRROR"
  fi
  while read -r uri; do
    case $uri in http://* | https://* | file:*) echo "${uri%/}" ;; esac
  done < <(apt_uris) | awk '!seen[$0]++' | tee >(
    while read -r uri; do
      sed -E 's,/debian$,/debian-archive/debian,' <<<"$uri"
      sed -E 's,^(https?://)[^./]+\.,\1archive.,' <<<"$uri"
    done
  ) | awk '!seen[$0]++'
}

# apt's own downloader knows the machine's proxies, certificates and credentials.
reachable() {
  local target
  target=$(mktemp)
  if /usr/lib/apt/apt-helper download-file "$1" "$target" >/dev/null 2>&1; then
    rm -f "$target"
    return 0
  fi
  rm -f "$target"
  return 1
}

find_mirror() {
  local suite=$1 uri tried=()
  while read -r uri; do
    [[ -n $uri ]] || continue
    tried+=("$uri")
    # The architecture's own index: a source for something else also has a dists folder.
    if reachable "$uri/dists/$suite/main/binary-$(dpkg --print-architecture)/Packages.xz"; then
      echo "$uri"
      return 0
    fi
  done < <(mirror_candidates)
  fail "no mirror has $suite; tried: ${tried[*]:-none}. Set FAXBOT_DEBIAN_MIRROR"
}

# Retries, because a mirror that drops one of 200 packages is the usual failure in CI.
apt_inside() {
  local root=$1 attempt
  shift
  for attempt in 1 2 3; do
    if chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
      -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"; then
      return 0
    fi
    echo "apt-get $* failed, attempt $attempt" >&2
    sleep 5
  done
  return 1
}

install_one() {
  local version=$1 suite root mirror
  suite=$(suite_of "$version")
  root=$(root_of "$version")
  if [[ -e $root.complete ]]; then
    echo "$product $version: $root is complete"
    return 0
  fi
  # No marker: a former run was cut short, and debootstrap cannot go on where it stopped.
  rm -rf --one-file-system "$root"
  mirror=$(find_mirror "$suite")
  echo "$product $version: debootstrap of $suite"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
  # What the machine's apt needs to reach its mirrors, the apt inside needs too.
  cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$root/etc/apt/apt.conf.d/90machine" || true
  if [[ -d /usr/local/share/ca-certificates ]]; then
    cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null
  fi
  # Package scripts may not start a second server on the standard ports.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  apt_inside "$root" update
  apt_inside "$root" install --no-install-recommends "${packages[@]}"
  chroot "$root" apt-get clean
  check_version "$version"
  mkdir -p "$root$inside"
  touch "$root.complete"
}

cmd_install() {
  need_root
  local missing=() tool
  mkdir -p "$cache"
  # Two test runs that start together would otherwise build in one directory, and two servers that
  # are installed together would ask dpkg at once.
  exec 8>"$cache/install.lock"
  flock 8
  for tool in debootstrap flock openssl ss; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if ((${#missing[@]})); then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
      debootstrap debian-archive-keyring ca-certificates util-linux openssl iproute2
  fi
  exec 8>"$cache/install-$server.lock"
  flock 8
  local version log failed=0
  declare -A pids=()
  for version in "${versions[@]}"; do
    log=$cache/install-$version.log
    (install_one "$version") >"$log" 2>&1 8>&- &
    pids[$version]=$!
  done
  for version in "${versions[@]}"; do
    if ! wait "${pids[$version]}"; then
      echo "$product $version: install failed; the end of $cache/install-$version.log:" >&2
      tail -n 40 "$cache/install-$version.log" >&2
      failed=1
    fi
  done
  flock -u 8
  ((failed == 0)) || exit 1
  cmd_versions
}

cmd_versions() {
  need_root
  local version
  for version in "${versions[@]}"; do
    [[ -e "$(root_of "$version").complete" ]] || fail "$product $version is not installed: run ${self##*/} install"
    check_version "$version"
  done
}

# --- instances ---------------------------------------------------------------------------------

# Whether a process belongs to an instance. The root directory of the process is compared, because a
# stale file may name a process id that belongs to somebody else by now.
is_of() {
  [[ $(readlink "/proc/$3/root" 2>/dev/null) == "$(readlink -f "$(root_of "$1")")" ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$3/cmdline" | grep -qF -- "$inside/$2/etc/"
}

# Prints the process id when the instance runs.
running_pid() {
  local dir pid
  dir=$(outside_of "$1" "$2")
  [[ -r $dir/pid ]] || return 1
  pid=$(<"$dir/pid")
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  is_of "$1" "$2" "$pid" || return 1
  echo "$pid"
}

# All processes of an instance, the first one first; fails if there is none.
server_pids() { running_pid "$@"; }

# Takes the first slot that no instance holds and whose control ports nobody uses.
take_slot() {
  local slot taken listening base offset busy
  taken=" $(cat "$cache/$server"*/"${inside#/}"/*/slot 2>/dev/null | tr '\n' ' ') "
  listening=$(ss -Hlntu | awk '{ n = split($5, a, ":"); print a[n] }')
  for ((slot = 0; slot < slots; slot++)); do
    [[ $taken == *" $slot "* ]] && continue
    base=$((first_port + slot * ports_per_slot))
    busy=0
    for ((offset = 0; offset < control_ports; offset++)); do
      if grep -qx "$((base + offset))" <<<"$listening"; then busy=1; fi
    done
    ((busy)) && continue
    echo "$slot"
    return 0
  done
  fail "all $slots port slots are taken: remove instances (${self##*/} status lists them)"
}

# Gives the instance in this directory its slot, once.
hold_slot() {
  local dir=$1 slot
  [[ -e $dir/slot ]] && return 0
  (
    flock 9
    slot=$(take_slot)
    echo "$slot" >"$dir/slot"
  ) 9>"$cache/slots.lock"
}

base_of() { echo "$((first_port + $(<"$1/slot") * ports_per_slot))"; }

cmd_run() {
  need_root
  check_instance "$1" "$2"
  if server_pids "$1" "$2" >/dev/null; then fail "$1 $2 runs already"; fi
  configure "$@"
  echo $$ >"$(outside_of "$1" "$2")/pid"
  run_server "$1" "$2" </dev/null
}

cmd_start() {
  need_root
  check_instance "$1" "$2"
  if server_pids "$1" "$2" >/dev/null; then fail "$1 $2 runs already"; fi
  configure "$@"
  local dir
  dir=$(outside_of "$1" "$2")
  # No inherited pipe and no hangup signal: the caller may read our output to its end, or be killed.
  (
    trap '' HUP
    run_server "$1" "$2"
  ) </dev/null >"$dir/log/console" 2>&1 &
  echo $! >"$dir/pid"
  wait_booted "$1" "$2" $!
  cmd_env "$1" "$2"
}

wait_gone() {
  local version=$1 name=$2 tries
  for ((tries = 0; tries < 100; tries++)); do
    server_pids "$version" "$name" >/dev/null || return 0
    sleep 0.05
  done
  return 1
}

kill_one() {
  local pids
  mapfile -t pids < <(server_pids "$1" "$2")
  # One of them may be gone by itself.
  kill -KILL "${pids[@]}" 2>/dev/null || true
  wait_gone "$1" "$2" || fail "$1 $2 survived SIGKILL"
}

cmd_kill() {
  need_root
  check_instance "$1" "$2"
  server_pids "$1" "$2" >/dev/null || fail "$1 $2 does not run"
  kill_one "$1" "$2"
}

stop_one() {
  local pid
  server_pids "$1" "$2" >/dev/null || return 0
  if pid=$(running_pid "$1" "$2"); then
    kill -TERM "$pid"
    if wait_gone "$1" "$2"; then return 0; fi
  fi
  kill_one "$1" "$2"
}

each_instance() {
  local dir version
  for version in "${versions[@]}"; do
    for dir in "$(root_of "$version")$inside"/*/; do
      [[ -d $dir ]] || continue
      echo "$version $(basename "$dir")"
    done
  done
}

cmd_stop() {
  need_root
  local version name
  if [[ $1 == all ]]; then
    while read -r version name; do stop_one "$version" "$name"; done < <(each_instance)
    return 0
  fi
  [[ $# -eq 2 ]] || usage
  check_instance "$1" "$2"
  stop_one "$1" "$2"
}

cmd_remove() {
  need_root
  check_instance "$1" "$2"
  stop_one "$1" "$2"
  rm -rf --one-file-system "$(outside_of "$1" "$2")"
}

cmd_status() {
  local version name pid
  while read -r version name; do
    pid=$(running_pid "$version" "$name") || pid=-
    echo "$version $name pid=$pid slot=$(cat "$(outside_of "$version" "$name")/slot" 2>/dev/null || echo -)"
  done < <(each_instance)
}

cmd_env() {
  check_instance "$1" "$2"
  local dir pid
  dir=$(outside_of "$1" "$2")
  [[ -e $dir/configured ]] || fail "$1 $2 has never been started"
  pid=$(running_pid "$1" "$2") || pid=
  print_env "$1" "$2" "$dir" "$(base_of "$dir")" "$pid"
}

cmd_wait() {
  need_root
  check_instance "$1" "$2"
  wait_booted "$1" "$2"
}

dispatch() {
  local command=${1:-}
  [[ $# -gt 0 ]] && shift
  case $command in
    install | versions | status) [[ $# -eq 0 ]] || usage ;;
    stop) [[ $# -eq 2 || ${1:-} == all ]] || usage ;;
    kill | remove | env | wait) [[ $# -eq 2 ]] || usage ;;
    start | run | cli) [[ $# -ge 2 ]] || usage ;;
    *) usage ;;
  esac
  declare -F "cmd_$command" >/dev/null || usage
  "cmd_$command" "$@"
}
