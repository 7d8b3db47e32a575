# The four things that install.sh does: install, upgrade, take back, remove. Read by install.sh, whose steps and checks it uses.
# shellcheck shell=sh disable=SC2154

manifest_value() { # a line of the manifest that begins with the word $1
  while read -r word value; do [ "$word" != "$1" ] || { say "$value"; return; }; done <"$manifest"
}
listed_in_manifest() { # word, and another agent's manifest
  while read -r word value; do [ "$word" != "$1" ] || say "$value"; done <"${2:-$manifest}"
}

# What the program says about the configuration, as the user that will read it.
accepts_configuration() {
  [ -r "/etc/tidegate/$agent.toml" ] || return 1
  said=$(cd / && as_user "$1" check --config "/etc/tidegate/$agent.toml" 2>&1)
}
as_user() { # busybox's setpriv changes no user, and small hosts have no su
  has_name passwd "$program" || { "$@"; return; }
  if setpriv --reuid "$program" --regid tidegate --clear-groups -- true 2>/dev/null; then
    setpriv --reuid "$program" --regid tidegate --clear-groups -- "$@"
  elif command -v su >/dev/null; then
    su -s /bin/sh "$program" -c "$*"
  else
    "$@"
  fi
}

install_program() {
  bin=$prefix/bin lib=$prefix/lib/tidegate candidate=
  [ -z "$libc" ] || for name in $(listed_files "lib/$target/"); do place_file "$media/$name" "$lib/${name##*/}" 644 0:0; done
  if [ -z "$dry" ]; then
    make_dir "$bin" 755 0:0
    # Tried beside the installed one, so that nothing changes when this host cannot run it.
    candidate=$bin/$program.tidegate-new
    remember "file $candidate"
    why=$(cp -- "$source" "$candidate" 2>&1) || die "$bin/$program cannot be written: ${why##*: }"
    [ "$(hash_of "$candidate")" = "$(listed_hash "bin/$target/$program")" ] ||
      die "$bin/$program cannot be written: it reads back otherwise"
    { chmod 755 "$candidate" && chown 0:0 "$candidate"; } 2>/dev/null || die "mode or owner of $candidate cannot be set"
    version=$(cd / && "$candidate" --version 2>&1) || die "$program for $target does not run on this host: ${version%%"$newline"*}"
  fi
  if [ -n "$upgrade" ] && [ -z "$dry" ]; then
    if accepts_configuration "$bin/$program"; then
      accepts_configuration "$candidate" ||
        die "the new $program refuses the configuration that the old one accepts: ${said%%"$newline"*}"
    else
      say "note: the installed $program does not accept /etc/tidegate/$agent.toml either, so it says nothing about the new one"
    fi
  fi
  place_file "${candidate:-$source}" "$bin/$program" 755 0:0
  [ -n "$dry" ] || rm -f -- "$candidate"
}

install_rest() {
  share=$prefix/share/$program
  place_file "$media/lib/set-neighbours" "$lib/set-neighbours" 755 0:0
  for name in install.sh install-steps.sh LICENSE CHANGELOG.md; do place_file "$media/$name" "$share/$name" 644 0:0; done
  for name in $(listed_files examples/) $(listed_files licences/) $(listed_files wireshark/) $(listed_files ca/); do
    place_file "$media/$name" "$share/$name" 644 0:0
  done
  for name in $(listed_files manual/); do place_file "$media/$name" "$share/$name" 644 0:0; done
  for name in $(listed_files man/); do
    page=${name##*/}
    case $page in tidegate-send.* | tidegate-recv.*) [ "${page%.*}" = "$program" ] || continue ;; esac
    place_file "$media/$name" "$prefix/share/man/man${page##*.}/$page" 644 0:0
  done
  install_sysctl
  case $(service_keeper) in
    systemd)
      place_template "$media/systemd/$program.service" "/etc/systemd/system/$program.service" 644 0:0
      place_template "$media/systemd/tidegate-neighbours.service" /etc/systemd/system/tidegate-neighbours.service 644 0:0
      install_allowance ;;
    openrc)
      place_template "$media/openrc/$program" "/etc/init.d/$program" 755 0:0
      place_file "$media/logrotate/tidegate" /etc/logrotate.d/tidegate 644 0:0 ;;
  esac
}

# Never lowers a limit: a host whose limit is higher than what the agent asks for is left as it is.
install_sysctl() {
  while read -r name _ value; do
    case $name in net.*) ;; *) continue ;; esac
    now=0
    [ ! -r "/proc/sys/net/core/${name##*.}" ] || read -r now <"/proc/sys/net/core/${name##*.}"
    [ "$now" -lt "$value" ] || [ -e "/etc/sysctl.d/60-$program.conf" ] || return 0
  done <"$media/sysctl/60-$program.conf"
  place_file "$media/sysctl/60-$program.conf" "/etc/sysctl.d/60-$program.conf" 644 0:0
}

install_allowance() {
  if [ -z "$allow" ]; then
    [ ! -e "/etc/systemd/system/$program.service.d/addresses.conf" ] ||
      new_files="$new_files/etc/systemd/system/$program.service.d/addresses.conf$newline"
    return
  fi
  if [ -n "$dry" ]; then say "would let the unit talk to$allow"; return; fi
  say "[Service]${newline}IPAddressAllow=$allow" >"$scratch/allow" || die "no space in $scratch"
  place_file "$scratch/allow" "/etc/systemd/system/$program.service.d/addresses.conf" 644 0:0
}

install_configuration() {
  make_user
  make_dir /etc/tidegate 750 0:tidegate
  make_dir /var/lib/tidegate 755 0:0
  make_dir "/var/lib/tidegate/$agent" 700 "$program:tidegate"
  [ "$agent" = send ] || make_dir /etc/tidegate/targets.d 750 0:tidegate
  if [ ! -e "/etc/tidegate/$agent.toml" ]; then
    place_file "$media/examples/$agent.toml" "/etc/tidegate/$agent.toml" 640 0:tidegate
  fi
  [ -n "$dry" ] || [ -n "$sums" ] || [ -e /etc/tidegate/media.pub ] || place_file "$key" /etc/tidegate/media.pub 644 0:0
  for entry in $neighbours; do add_neighbour "$entry"; done
}

add_neighbour() {
  address=${1%%=*} hardware=${1#*=}
  interface=${hardware#*@} hardware=${hardware%%@*}
  if [ -n "$dry" ]; then say "would set the neighbour $address at $hardware on $interface"; return; fi
  {
    [ ! -r /etc/tidegate/neighbours ] ||
      while IFS= read -r line; do case $line in "$address "*) ;; *) say "$line" ;; esac; done </etc/tidegate/neighbours
    say "$address $hardware $interface"
  } >"$scratch/neighbours" || die "no space in $scratch"
  place_file "$scratch/neighbours" /etc/tidegate/neighbours 644 0:0
}

# Only what is whole gets a manifest; configuration and data are not in it, so that removing leaves them.
write_manifest() {
  [ -z "$dry" ] || return 0
  {
    say "prefix $prefix"
    say "target $target"
    say "version $version"
    printf '%s' "$new_files" | while read -r path; do case $path in /etc/tidegate/*) ;; *) say "file $path" ;; esac; done
    printf '%s' "$new_dirs" | while read -r path; do
      case $path in /etc/tidegate* | /var/lib/tidegate*) ;; *) say "dir $path" ;; esac
    done
    [ ! -r "$manifest" ] || listed_in_manifest dir | while read -r path; do say "dir $path"; done
  } >"$scratch/manifest" || die "no space in $scratch"
  files_before=$new_files
  place_file "$scratch/manifest" "$manifest" 644 0:0
  new_files=$files_before
}

apply_to_system() {
  [ -z "$dry" ] || return 0
  [ ! -e "/etc/sysctl.d/60-$program.conf" ] || sysctl -q -p "/etc/sysctl.d/60-$program.conf" 2>/dev/null || say "note: the socket buffer's limit will hold after the next start of this host"
  if has_systemd; then
    systemctl daemon-reload || die "systemctl daemon-reload failed"
    [ -z "$neighbours" ] || systemctl enable --quiet --now tidegate-neighbours.service || die "the neighbour entries could not be set"
  elif [ -n "$neighbours" ] && command -v ip >/dev/null; then
    "$lib/set-neighbours" /etc/tidegate/neighbours || die "the neighbour entries could not be set"
  fi
}

restart_if_running() { # with the program that was put in place; the old one again when it does not come up
  is_running || return 0
  restart_service && return
  deed="keep the new $program"
  state='see its log'
  ! has_systemd || state=$(systemctl show --value --property=StatusText,Result "$program.service" | tr '\n' ' ')
  printf 'cannot %s: it did not become ready (%s); the old one is started again\n' "$deed" "$state" >&2
  take_back
  ! has_systemd || systemctl daemon-reload
  restart_service
  exit 1
}

# The old program stays beside the new one, for --back.
keep_previous() {
  for path in $new_files; do
    case $path in "$prefix/bin/$program") [ ! -e "$path.tidegate-old" ] || mv -f -- "$path.tidegate-old" "$path.previous" ;; esac
    rm -f -- "$path.tidegate-old"
  done
  rm -f -- "$manifest.tidegate-old" /etc/tidegate/*.tidegate-old
}

do_install() {
  if [ -r "$manifest" ]; then
    prefix=$(manifest_value prefix)
  elif [ -n "$upgrade" ]; then
    die "$program is not installed here (no $manifest)"
  fi
  [ ! -x "/usr/bin/$program" ] || [ "$prefix/bin" = /usr/bin ] || die "$program is installed as a package: upgrade or remove it as one"
  verify_media
  choose_target
  if [ -r "$manifest" ]; then
    [ -n "$upgrade" ] || [ "$(hash_of "$prefix/bin/$program")" = "$(listed_hash "bin/$target/$program")" ] ||
      die "another version is installed ($(manifest_value version)): say --upgrade"
  else
    check_ports
  fi
  check_places
  say "$program for $target goes to $prefix"
  version='' lib=$prefix/lib/tidegate
  install_program
  install_rest
  install_configuration
  write_manifest
  apply_to_system
  [ -n "$dry" ] || restart_if_running
  forget
  if [ -n "$dry" ]; then say "nothing was changed"; return; fi
  keep_previous
  if [ -z "$changed" ]; then say "$version was installed already: nothing was changed"; return; fi
  say "$version is installed"
  [ -n "$upgrade" ] || next_steps
}

next_steps() {
  say "next: 1. edit /etc/tidegate/$agent.toml; samples are in $share/examples, the manual begins at $share/manual/index.html"
  if [ "$agent" = send ]; then
    say "      2. make the link key, and carry a copy to the business host: $prefix/bin/$program keygen /etc/tidegate/link.key"
  else
    say "         every target is a file in /etc/tidegate/targets.d: begin with one of $share/examples/profiles"
    say "      2. put the plant host's link.key into /etc/tidegate"
  fi
  say "         only the agent may read it: chown $program /etc/tidegate/link.key; chmod 600 /etc/tidegate/link.key"
  say "      3. $prefix/bin/$program check --config /etc/tidegate/$agent.toml; doctor in the place of check tries what it names, too"
  case $(service_keeper) in
    systemd) say "      4. systemctl enable --now $program" ;;
    openrc) say "      4. rc-update add $program default && rc-service $program start" ;;
    *) say "      4. run as user $program: $prefix/bin/$program run --config /etc/tidegate/$agent.toml" ;;
  esac
}

do_back() {
  deed="go back"
  [ -r "$manifest" ] || die "$program is not installed here (no $manifest)"
  prefix=$(manifest_value prefix)
  path=$prefix/bin/$program
  [ -x "$path.previous" ] || die "there is no program from before an upgrade ($path.previous)"
  if accepts_configuration "$path" && ! accepts_configuration "$path.previous"; then
    die "the old $program refuses the configuration that the new one accepts: ${said%%"$newline"*}"
  fi
  version=$(cd / && "$path.previous" --version 2>&1) || die "$path.previous does not run: ${version%%"$newline"*}"
  if [ -n "$dry" ]; then say "would put $version back"; return; fi
  why=$(ln -f -- "$path" "$path.next" 2>&1) || die "$path cannot be written: ${why##*: }"
  mv -f -- "$path.previous" "$path"
  mv -f -- "$path.next" "$path.previous"
  if is_running && ! restart_service; then die "$program does not start"; fi
  say "$version is in place again; the other is kept as $path.previous"
}

do_uninstall() {
  deed=uninstall
  [ -r "$manifest" ] || die "$program is not installed here (no $manifest)"
  prefix=$(manifest_value prefix)
  other=recv
  [ "$agent" = send ] || other=send
  other_files=
  [ ! -r "/var/lib/tidegate/$other.manifest" ] ||
    other_files=$newline$(listed_in_manifest file "/var/lib/tidegate/$other.manifest")$newline
  if [ -n "$dry" ]; then say "would remove what $manifest lists${purge:+, configuration and data}"; return; fi
  if has_systemd; then systemctl disable --quiet --now "$program.service" 2>/dev/null
  elif [ "$(service_keeper)" = openrc ]; then
    { rc-service "$program" stop; rc-update del "$program" -a; } >/dev/null 2>&1
  fi
  listed_in_manifest file | while read -r path; do
    case $other_files in *"$newline$path$newline"*) ;; *) rm -f -- "$path" ;; esac
  done
  rm -f -- "$prefix/bin/$program.previous"
  # A directory that the other agent still uses becomes its own to remove.
  listed_in_manifest dir | while read -r path; do
    rmdir -- "$path" 2>/dev/null || [ -z "$other_files" ] || say "dir $path" >>"/var/lib/tidegate/$other.manifest"
  done
  rm -f -- "$manifest"
  if [ -n "$purge" ]; then
    rm -rf -- "/var/lib/tidegate/$agent" "/etc/tidegate/$agent.toml"
    [ "$agent" = send ] || rm -rf -- /etc/tidegate/targets.d
    [ -n "$other_files" ] || rm -rf -- /etc/tidegate /var/lib/tidegate /var/log/tidegate
    remove_user "$program"
    [ -n "$other_files" ] || { remove_group tidegate; }
  fi
  if has_systemd; then
    systemctl daemon-reload
    systemctl reset-failed "$program.service" 2>/dev/null
  fi
  if [ -n "$purge" ]; then say "$program is removed, with its configuration and data"
  else say "$program is removed; /etc/tidegate and /var/lib/tidegate/$agent are left"
  fi
}

main() {
  agent='' prefix=/usr/local upgrade='' back='' uninstall='' purge='' key='' sums='' allow='' neighbours=''
  while [ $# -gt 0 ]; do
    case $1 in
      send | recv) [ -z "$agent" ] || die "only one of send and recv can be installed at a time" 2; agent=$1 ;;
      --prefix | --key | --sums | --allow | --neighbour)
        [ $# -ge 2 ] || die "$1 wants a value" 2
        case $1 in
          --prefix) prefix=${2%/} ;;
          --key) key=$2 ;;
          --sums) sums=$2 ;;
          --allow) allow="$allow $2" ;;
          --neighbour)
            case $2 in *' '* | *'*'*) ;; ?*=?*@?*) neighbours="$neighbours $2" ;; esac
            case $neighbours in *" $2") ;; *) die "--neighbour is $2, must be ADDRESS=HARDWARE-ADDRESS@INTERFACE" 2 ;; esac ;;
        esac
        shift ;;
      --upgrade) upgrade=1 ;;
      --back) back=1 ;;
      --uninstall) uninstall=1 ;;
      --purge) purge=1 ;;
      --dry-run) dry=1 ;;
      -h | --help) usage; exit 0 ;;
      *) die "$1 is no option; sh install.sh --help lists them" 2 ;;
    esac
    shift
  done
  [ -n "$agent" ] || { usage >&2; exit 2; }
  case $prefix in /*) ;; *) die "--prefix is $prefix, must be an absolute path" 2 ;; esac
  case $prefix in *[!A-Za-z0-9/._-]*) die "--prefix is $prefix, must be of letters, digits and / . _ -" 2 ;; esac
  program=tidegate-$agent
  manifest=/var/lib/tidegate/$agent.manifest
  [ "$(id -u)" = 0 ] || die "you are not root"
  [ -z "$upgrade" ] || deed=upgrade
  scratch=$(mktemp -d 2>/dev/null) || die "no temporary directory can be made in ${TMPDIR:-/tmp}"
  trap 'rm -rf -- "$scratch"' EXIT
  trap 'die "it was interrupted" 1' HUP INT TERM
  if [ -n "$uninstall" ]; then do_uninstall
  elif [ -n "$back" ]; then do_back
  else do_install
  fi
}
