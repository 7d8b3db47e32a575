#!/bin/sh
# Installs one side of Tidegate from this media, or upgrades, takes back or removes it. Needs a POSIX shell and coreutils, no network.
# Nothing is installed before SHA256SUMS, its signature and every file of the media have been checked; whatever fails later is undone.
set -u
umask 022
export LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
media=$(unset CDPATH; cd -- "$(dirname -- "$0")" && pwd -P) || exit 1

usage() {
  cat <<'USAGE'
sh install.sh send|recv [OPTION …]

  --prefix DIR    where programs and manual go (/usr/local); configuration is in /etc/tidegate, data in /var/lib/tidegate
  --upgrade       put this media's program in the place of the installed one; goes back when it refuses the configuration
  --back          take the last upgrade back
  --uninstall     remove what was installed; configuration, keys, journal and spool stay, unless --purge is given too
  --dry-run       check everything, say what would be done, change nothing
  --key FILE      the vendor's public key, when it came to you on another way than this media
  --sums HASH     SHA-256 of the file SHA256SUMS, when you have verified its signature on another machine
  --allow CIDR    an address or network that the unit may talk to beyond private ones; "any" for all; may be repeated
  --neighbour ADDRESS=HARDWARE-ADDRESS@INTERFACE
                  a static neighbour entry, e.g. 10.10.0.2=02:00:00:00:00:02@eth1; may be repeated
USAGE
}

undo='' new_files='' new_dirs='' dry='' changed='' deed=install
newline='
'
say() { printf '%s\n' "$*"; }

# One line for a person, then everything that was done is taken back, newest first. The line must not go where a step, interrupted in its
# midst, had sent the words of its commands.
exec 3>&2
die() {
  printf 'cannot %s: %s\n' "$deed" "$1" >&3
  take_back
  exit "${2:-1}"
}

take_back() {
  trap '' HUP INT TERM
  while [ -n "$undo" ]; do
    step=${undo%%"$newline"*}
    undo=${undo#*"$newline"}
    target=${step#* }
    case $step in
      'file '*) rm -f -- "$target" ;;
      'dir '*) rmdir -- "$target" 2>/dev/null ;;
      'old '*) mv -f -- "$target.tidegate-old" "$target" ;;
      'user '*) remove_user "$target" ;;
      'group '*) remove_group "$target" ;;
    esac
  done
}

# Before each step, not after it: a signal that comes while the step is under way is heard when it is done.
remember() { undo="$1$newline$undo"; }
forget() { undo=''; }
hash_of() { h=$(sha256sum <"$1" 2>/dev/null) && printf '%s' "${h%% *}"; }
listed_hash() { # the hash that the verified list gives for a file of the media
  while read -r h name; do [ "${name#\*}" != "$1" ] || { printf '%s' "$h"; return; }; done <"$media/SHA256SUMS"
}
listed_files() { # names in the list that begin with $1
  while read -r h name; do case ${name#\*} in "$1"*) say "${name#\*}" ;; esac; done <"$media/SHA256SUMS"
}

# --- the media -------------------------------------------------------------------------------------------------------------------
verify_media() {
  [ -r "$media/SHA256SUMS" ] || die "the media is incomplete: SHA256SUMS is missing"
  if [ -n "$sums" ]; then
    [ "$(hash_of "$media/SHA256SUMS")" = "$sums" ] || die "SHA256SUMS is not the file whose hash you gave with --sums"
  else
    verify_signature
  fi
  # Both coreutils and busybox print "NAME: OK" or "NAME: FAILED…" for each file.
  report=$(cd "$media" && sha256sum -c SHA256SUMS 2>/dev/null) && return
  while read -r line; do
    case $line in *': OK' | '') ;; *) die "the media is damaged or was changed: ${line%%: FAILED*} is not as SHA256SUMS says" ;; esac
  done <<REPORT
$report
REPORT
  while read -r h name; do
    [ -e "$media/${name#\*}" ] || die "the media is damaged or was changed: ${name#\*} is missing"
  done <"$media/SHA256SUMS"
  die "the media is damaged or was changed: SHA256SUMS cannot be read"
}

verify_signature() {
  [ -r "$media/SHA256SUMS.sig" ] || die "the media is not signed; verify it another way and give --sums HASH"
  if [ -z "$key" ]; then
    # The key of the first installation is kept, so that no later media can bring another.
    for key in /etc/tidegate/media.pub "$media/tidegate-media.pub"; do [ ! -r "$key" ] || break; done
  fi
  [ -r "$key" ] || die "the vendor's public key $key cannot be read"
  command -v openssl >/dev/null ||
    die "openssl, which checks the signature, is missing here; verify SHA256SUMS on another machine and give --sums HASH"
  openssl dgst -sha256 -verify "$key" -signature "$media/SHA256SUMS.sig" "$media/SHA256SUMS" >/dev/null 2>&1 ||
    die "the signature of SHA256SUMS was not made with the key $key"
  say "signed with the key $key, whose SHA-256 is $(hash_of "$key")"
}

# --- the host --------------------------------------------------------------------------------------------------------------------
choose_target() {
  machine=$(uname -m)
  case $machine in
    x86_64 | amd64) machine=x86_64 cpu=x64 loader=/lib64/ld-linux-x86-64.so.2 ;;
    aarch64 | arm64) machine=aarch64 cpu=arm64 loader=/lib/ld-linux-aarch64.so.1 ;;
    *) die "this machine is $machine, must be x86_64 or aarch64" ;;
  esac
  if [ -e "$loader" ]; then libc=
  elif [ -e "/lib/ld-musl-$machine.so.1" ]; then libc=-musl
  else die "this host has neither glibc ($loader) nor musl (/lib/ld-musl-$machine.so.1)"
  fi
  level=
  if [ $cpu = x64 ]; then
    flags=
    while read -r word rest; do [ "$word" != flags ] || { flags=" ${rest#:} "; break; }; done <"${TIDEGATE_CPUINFO:-/proc/cpuinfo}"
    case $flags in *' sse4_2 '*) ;; *) die "this processor is too old: it lacks SSE4.2 (sse4_2 in /proc/cpuinfo)" ;; esac
    case $flags in *' popcnt '*) ;; *) die "this processor is too old: it lacks POPCNT (popcnt in /proc/cpuinfo)" ;; esac
    case $flags in *' avx2 '*) ;; *) [ -n "$libc" ] || level=-baseline ;; esac
  fi
  # Small media may carry the program for all processors alone.
  [ -n "$libc$level" ] || [ -e "$media/bin/linux-$cpu" ] || level=-baseline
  target=linux-$cpu$libc$level
  source=$media/bin/$target/$program
  [ -r "$source" ] || die "this media carries no program for $target"
}

# A port that another program has would let the agent fail at its first start: better said now.
check_ports() {
  file=/etc/tidegate/$agent.toml
  [ -r "$file" ] || file=$media/examples/$agent.toml
  table='' kind=udp
  while read -r word equals value rest; do
    case $word in
      '['*) table=$word kind=udp ;;
      type) kind=$value ;;
      address)
        [ "$equals" = '=' ] || continue
        value=${value#[\"\']}
        value=${value%[\"\']}
        case $table in
          '[admin]') probe_port tcp "$value" ;;
          '[[link.path]]') case $kind in *tcp*) probe_port tcp "$value" ;; *) probe_port udp "$value" ;; esac ;;
        esac ;;
    esac
  done <"$file"
}

probe_port() { # protocol, ADDRESS:PORT
  port=${2##*:}
  case $port in '' | *[!0-9]*) return ;; esac
  hex=$(printf '%04X' "$port")
  for table_file in /proc/net/"$1" /proc/net/"$1"6; do
    [ -r "$table_file" ] || continue
    while read -r _ local _ state _; do
      [ "${local##*:}" = "$hex" ] || continue
      [ "$1" = udp ] || [ "$state" = 0A ] || continue
      # Another address of this host's does not stand in the way.
      case ${local%:*} in *[!0]*) case $2 in 0.0.0.0:* | '[::]:'* | '*:'*) ;; *) same_address "$2" "${local%:*}" || continue ;; esac ;; esac
      die "$1 port $port ($2 in $file) is taken by another program"
    done <"$table_file"
  done
}

same_address() { # ADDRESS:PORT and the kernel's way of writing an address
  case $1 in *.*.*.*:*) ;; *) return 0 ;; esac
  a=${1%%.*} b=${1#*.} c=${1#*.*.} d=${1#*.*.*.}
  b=${b%%.*} c=${c%%.*} d=${d%%:*}
  case "$a$b$c$d" in *[!0-9]*) return 0 ;; esac
  [ "$(printf '%02X%02X%02X%02X' "$d" "$c" "$b" "$a")" = "$2" ]
}

check_places() {
  for place in "$prefix" /etc /var/lib; do
    while [ ! -d "$place" ]; do place=$(dirname -- "$place"); done
    [ -w "$place" ] || die "$place is read-only"
  done
  place=$prefix/bin
  while [ ! -d "$place" ]; do place=$(dirname -- "$place"); done
  need=$(($(wc -c <"$source") / 1024 + 8192))
  free=$(df -Pk "$place" | { read -r _ && read -r _ _ _ free _ && printf '%s' "$free"; })
  case $free in '' | *[!0-9]*) return ;; esac
  [ "$free" -ge "$need" ] || die "$place has $((free / 1024)) MiB free, $((need / 1024)) MiB are needed"
}

service_keeper() {
  if command -v systemctl >/dev/null && [ -d /etc/systemd/system ]; then say systemd
  elif [ -x /sbin/openrc-run ]; then say openrc
  else say none
  fi
}
has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
is_running() {
  if has_systemd; then systemctl --quiet is-active "$program.service"
  else [ "$(service_keeper)" = openrc ] && rc-service --quiet "$program" status >/dev/null 2>&1
  fi
}
restart_service() {
  if has_systemd; then systemctl restart "$program.service"
  else rc-service --quiet "$program" restart >/dev/null 2>&1 && stays_up
  fi
}
# OpenRC's supervisor does not wait for the agent to be ready: it has come up when it is still the same process after three seconds.
stays_up() {
  tries=10
  until first=$(supervised); do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 1
  done
  sleep 3
  [ "$(supervised)" = "$first" ]
}
supervised() { # the process that OpenRC's supervisor has started
  read -r supervisor <"/run/supervise-$program.pid" || return
  for stat in /proc/[0-9]*/stat; do
    { read -r pid _ _ parent _ <"$stat"; } 2>/dev/null || continue
    [ "$parent" != "$supervisor" ] || { say "$pid"; return; }
  done
  return 1
}

# --- steps that can be taken back --------------------------------------------------------------------------------------------------
make_dir() { # path, mode, owner
  if [ -n "$dry" ]; then [ -d "$1" ] || say "would make the directory $1"; return; fi
  if [ ! -d "$1" ]; then
    [ -d "$(dirname -- "$1")" ] || make_dir "$(dirname -- "$1")" 755 0:0
    remember "dir $1"
    mkdir -- "$1" 2>/dev/null || die "$1 cannot be made: $(mkdir -- "$1" 2>&1)"
    new_dirs="$1$newline$new_dirs"
    changed=1
  fi
  { chmod "$2" "$1" && chown "$3" "$1"; } 2>/dev/null || die "mode or owner of $1 cannot be set"
}

place_file() { # source, path, mode, owner: whole or not at all; the same again is no change
  new_files="$new_files$2$newline"
  if [ -f "$2" ] && [ "$(hash_of "$1")" = "$(hash_of "$2")" ]; then
    [ -n "$dry" ] || { chmod "$3" "$2" && chown "$4" "$2"; } 2>/dev/null || die "mode or owner of $2 cannot be set"
    return
  fi
  if [ -n "$dry" ]; then say "would write $2"; return; fi
  [ -d "$(dirname -- "$2")" ] || make_dir "$(dirname -- "$2")" 755 0:0
  remember "file $2.tidegate-new"
  [ "$1" = "$2.tidegate-new" ] || why=$(cp -- "$1" "$2.tidegate-new" 2>&1) || die "$2 cannot be written: ${why##*: }"
  [ "$(hash_of "$1")" = "$(hash_of "$2.tidegate-new")" ] || die "$2 cannot be written: it reads back otherwise"
  { chmod "$3" "$2.tidegate-new" && chown "$4" "$2.tidegate-new"; } 2>/dev/null || die "mode or owner of $2 cannot be set"
  if [ -e "$2" ]; then
    ln -f -- "$2" "$2.tidegate-old" 2>/dev/null || cp -p -- "$2" "$2.tidegate-old" || die "$2 cannot be kept for going back"
    remember "old $2"
  else
    remember "file $2"
  fi
  mv -f -- "$2.tidegate-new" "$2" || die "$2 cannot be written"
  changed=1
}

place_template() { # like place_file, with @BIN@ and @LIB@ filled in
  if [ -n "$dry" ]; then say "would write $2"; return; fi
  filled=$scratch/filled
  while IFS= read -r line || [ -n "$line" ]; do
    while case $line in *@BIN@*) ;; *) false ;; esac; do line="${line%%@BIN@*}$prefix/bin${line#*@BIN@}"; done
    while case $line in *@LIB@*) ;; *) false ;; esac; do line="${line%%@LIB@*}$prefix/lib/tidegate${line#*@LIB@}"; done
    say "$line"
  done <"$1" >"$filled" || die "$2 cannot be written: no space for it in $scratch"
  place_file "$filled" "$2" "$3" "$4"
}

has_name() { # whether /etc/passwd or /etc/group ($1) has the name $2
  [ -r "/etc/$1" ] || return 1
  while IFS=: read -r name _; do [ "$name" != "$2" ] || return 0; done <"/etc/$1"
  return 1
}
free_id() {
  number=999
  while [ $number -gt 100 ]; do
    taken=
    for base in passwd group; do
      while IFS=: read -r _ _ id _; do [ "$id" != $number ] || taken=1; done <"/etc/$base"
    done
    [ -n "$taken" ] || { say $number; return; }
    number=$((number - 1))
  done
}
make_user() {
  if ! has_name group tidegate; then
    if [ -n "$dry" ]; then say "would make the group tidegate"
    else
      remember "group tidegate"
      { groupadd --system tidegate || addgroup -S tidegate || say "tidegate:x:$(free_id):" >>/etc/group; } 2>/dev/null
      has_name group tidegate || die "the group tidegate cannot be made"
      changed=1
    fi
  fi
  has_name passwd "$program" && return
  if [ -n "$dry" ]; then say "would make the user $program"; return; fi
  remember "user $program"
  home=/var/lib/tidegate/$agent shell=/usr/sbin/nologin
  [ -e $shell ] || shell=/sbin/nologin
  [ -e $shell ] || shell=/bin/false
  {
    useradd --system --gid tidegate --home-dir "$home" --no-create-home --shell $shell "$program" ||
      adduser -S -D -H -h "$home" -s $shell -G tidegate "$program" || append_user
  } >/dev/null 2>&1
  has_name passwd "$program" || die "the user $program cannot be made"
  changed=1
}
append_user() { # where no program for it exists
  gid=
  while IFS=: read -r name _ id _; do [ "$name" != tidegate ] || gid=$id; done </etc/group
  id=$(free_id)
  say "$program:x:$id:$gid:Tidegate:$home:$shell" >>/etc/passwd
  [ ! -e /etc/shadow ] || say "$program:!:1::::::" >>/etc/shadow
}
remove_user() { { userdel "$1" || deluser "$1" || { drop_line passwd "$1" && drop_line shadow "$1"; }; } >/dev/null 2>&1; }
remove_group() { has_name group "$1" && { groupdel "$1" || delgroup "$1" || drop_line group "$1"; } >/dev/null 2>&1; }
drop_line() {
  has_name "$1" "$2" || return 0
  kept=$(while IFS= read -r line; do case $line in "$2:"*) ;; *) say "$line" ;; esac; done <"/etc/$1")
  [ -z "$kept" ] || say "$kept" >"/etc/$1"
}

[ -r "$media/install-steps.sh" ] || die "the media is incomplete: install-steps.sh is missing"
. "$media/install-steps.sh"
main "$@"
