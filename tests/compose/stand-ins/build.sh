#!/usr/bin/env bash
# Builds images under the official names in docker-compose.yml and Dockerfile from Debian's packages alone, for a machine
# that reaches a Debian mirror and no image registry. They carry the label pgpulse.stand-in; an image without it, a real
# one, is left as it is. Needs root and debootstrap.
set -euo pipefail
cd "$(dirname "$0")"
readonly root=../../.. label=pgpulse.stand-in

fail() {
  echo "stand-ins: $*" >&2
  exit 1
}

present() { docker image inspect "$1" >/dev/null 2>&1; }

# The first repository of this machine's apt whose Release file says this label; nothing if there is none.
# shellcheck disable=SC2016 # $(REPO_URI) is apt's own field
repository() { apt-get indextargets --format '$(REPO_URI)' "Label: $1" | head -n 1; }

# debian:12-slim, with this machine's mirror, proxies and date checks in its apt configuration.
build_base() {
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  [[ $(id -u) == 0 ]] || fail "debootstrap needs root"
  local mirror security
  mirror=$(repository Debian)
  security=$(repository Debian-Security)
  [[ -n $mirror ]] || fail "apt on this machine has no Debian repository (apt-get update?)"
  rootfs=$(mktemp -d)
  trap 'rm -rf "$rootfs"' EXIT
  debootstrap --variant=minbase bookworm "$rootfs" "$mirror" >"$rootfs.log" 2>&1 \
    || { tail -n 5 "$rootfs.log" >&2; fail "debootstrap from $mirror failed"; }
  rm "$rootfs.log"
  {
    echo "deb $mirror bookworm main"
    [[ -z $security ]] || echo "deb $security bookworm-security main"
  } >"$rootfs/etc/apt/sources.list"
  apt-config dump Acquire | grep -E '^Acquire::(http|https|Check-)' >"$rootfs/etc/apt/apt.conf.d/90acquire" || true
  # As in the official image: no package files, caches or translations stay in a layer.
  cat >"$rootfs/etc/apt/apt.conf.d/docker-clean" <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
CONF
  rm -rf "$rootfs"/var/cache/apt/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/usr/share/{doc,man,locale}/*
  tar --directory "$rootfs" --create . | docker import --change "LABEL $label=1" --change 'CMD ["bash"]' - "$1" >/dev/null
}

# The image's reference in docker-compose.yml: one place says the tag.
reference() { sed -n "s|^ *image: *\($1:[^ ]*\).*|\1|p" $root/docker-compose.yml | sort -u; }

build() {
  local name=$1 image=$2
  if present "$image" && [[ -z $(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image") ]]; then
    echo "stand-ins: $image is a real one, left as it is"
  elif [[ $name != debian ]]; then
    echo "stand-ins: building $image"
    local output
    output=$(docker build --label "$label=1" --tag "$image" --file "$name.Dockerfile" . 2>&1) \
      || { tail -n 10 <<<"$output" >&2; fail "$image was not built"; }
  elif ! present "$image"; then
    echo "stand-ins: building $image"
    build_base "$image"
  fi
}

build debian "$(sed -n 's/^FROM \(debian:[^ ]*\)$/\1/p' $root/Dockerfile)"
build nats "$(reference nats)"
build consul "$(reference hashicorp/consul)"
build postgres "$(reference postgres)"
