#!/usr/bin/env bash
# Builds upstream's programs that this project is measured against.
#   peers.sh DIR [NAME ...]    default: all. Binaries land in DIR/bin; what is there already is kept.
set -euo pipefail
ETCD=v3.6.8 BBOLT=v1.4.3
[ -n "${1:-}" ] || { echo "usage: peers.sh DIR [NAME ...]" >&2; exit 2; }
dir=$(mkdir -p "$1/bin" && cd "$1" && pwd)
shift
root=$(cd "$(dirname "$0")/.." && pwd)

go_tool() { # NAME MODULE@VERSION PACKAGE: through a module of its own, because etcd's replace others, which `go install` refuses
  [ -x "$dir/bin/$1" ] && return
  mkdir -p "$dir/$1"
  (
    cd "$dir/$1"
    export CGO_ENABLED=0 GOFLAGS=-mod=mod
    [ -f go.mod ] || go mod init peer
    go get "$2"
    go build -trimpath -ldflags "-s -w" -o "$dir/bin/$1" "$3"
  )
}

others=()
[ $# -gt 0 ] && names=("$@") || names=(etcdutl bbolt)
for name in "${names[@]}"; do
  case $name in
    etcdutl) go_tool etcdutl "go.etcd.io/etcd/etcdutl/v3@$ETCD" go.etcd.io/etcd/etcdutl/v3 && echo "$dir/bin/etcdutl" ;;
    bbolt) go_tool bbolt "go.etcd.io/bbolt@$BBOLT" go.etcd.io/bbolt/cmd/bbolt && echo "$dir/bin/bbolt" ;;
    *) others+=("$name") ;;
  esac
done
if [ $# -eq 0 ] || [ ${#others[@]} -gt 0 ]; then
  exec bash "$root/../shared/peers/build.sh" "$dir" "${others[@]}"
fi
