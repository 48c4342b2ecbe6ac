#!/bin/sh
# Stands in front of a Slurm command on the remote PATH. The next line of FAULTS/COMMAND says how this call
# goes wrong; a line that begins with "always " stays. Without a line the command is itself.
tool=${0##*/}
real=/usr/bin/$tool
faults=$ANTENNA_FAULTS
echo "$tool" >>"$faults/calls"
fault=
if [ -s "$faults/$tool" ]; then
  exec 9>"$faults/$tool.lock"
  flock 9
  read -r fault <"$faults/$tool"
  case $fault in
    "always "*) fault=${fault#always } ;;
    *) sed -i 1d "$faults/$tool" ;;
  esac
  exec 9>&-
fi

# The connection dies without a word, as when a firewall forgets it.
drop() {
  pid=$$
  while [ "$pid" -gt 1 ] && [ "$(cat "/proc/$pid/comm")" != sshd ]; do
    pid=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 2)
  done
  kill -9 "$pid"
  exit 1
}

case $fault in
  "") exec "$real" "$@" ;;
  accepts-and-fails)
    "$real" "$@" >/dev/null
    echo "$tool: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
    exit 1
    ;;
  accepts-and-hangs) "$real" "$@" >/dev/null && exec sleep 600 ;;
  accepts-and-drops) "$real" "$@" >/dev/null && drop ;;
  accepts-and-garbles) "$real" "$@" | tr 0-9 a-j ;;
  hangs) exec sleep 600 ;;
  drops) drop ;;
  fails)
    echo "$tool: error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
    ;;
  is-empty) exit 0 ;;
  shows-header-only) "$real" "$@" | head -n 1 ;;
  is-cut) "$real" "$@" | head -c "$(($("$real" "$@" | wc -c) * 2 / 3))" ;;
  *)
    echo "no such fault: $fault" >&2
    exit 99
    ;;
esac
