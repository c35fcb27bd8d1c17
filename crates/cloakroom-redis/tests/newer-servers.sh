#!/usr/bin/env bash
# Brings the servers that Debian 12 does not have and that some tests are about: Valkey and Redis
# with `SET .. IFEQ`. `./test tools` runs this; `newer-servers.sh DIRECTORY` makes DIRECTORY/valkey-server
# and DIRECTORY/redis-server. To fetch newer ones, remove the directory and run it again.
#
# One of this machine that is new enough is taken as it is. Otherwise the packages of a newer Debian
# are fetched from the mirror that this machine's apt uses, checked by apt against Debian's keys, and
# unpacked: nothing is installed. They run with the C library that they were built for.
set -euo pipefail

# program | least version | suites that have it | the package and the file in it
SERVERS=(
    "valkey-server|8.1|trixie|valkey-tools|valkey-check-rdb"
    "redis-server|8.4|sid experimental|redis-tools|redis-check-rdb"
)

main() {
    local directory=$1 row bad=0
    mkdir -p "$directory"
    directory=$(cd "$directory" && pwd)
    WORK=$directory/work
    trap 'rm -rf "$WORK"' EXIT
    for row in "${SERVERS[@]}"; do
        IFS='|' read -r program least suites package file <<<"$row"
        if ! bring "$directory"; then
            echo "MISSING $program $least or newer: put one into PATH, or run this on a Debian whose mirror is in reach"
            bad=1
        fi
    done
    return $bad
}

bring() {
    local directory=$1 server=$1/$program own
    if is_new_enough "$server"; then
        echo "has $program $(version_of "$server")"
        return
    fi
    own=$(command -v "$program") || own=
    if [[ -n $own ]] && is_new_enough "$own"; then
        printf '#!/bin/sh\nexec %q "$@"\n' "$own" >"$server"
    else
        fetch || return 1
        rm -rf "$server.d"
        mv "$WORK/tree" "$server.d"
        wrap >"$server"
    fi
    chmod +x "$server"
    is_new_enough "$server" && echo "has $program $(version_of "$server")"
}

# Its first word tells the program what it is to be, because server and tools are one file.
wrap() {
    cat <<WRAPPER
#!/bin/sh
here=\$(dirname "\$0")/$program.d/usr
lib=\$(dirname "\$here"/lib/*/ld-linux-*.so.*)
exec "\$lib"/ld-linux-*.so.* --argv0 $program --library-path "\$lib" "\$here/bin/$file" "\$@"
WRAPPER
}

# Unpacks the package and the libraries that it needs below $WORK/tree.
fetch() {
    local mirror suite try deb
    mirror=$(mirror) || return 1
    rm -rf "$WORK"
    mkdir -p "$WORK"/{lists,cache/archives,tree}
    touch "$WORK/status"
    for suite in $suites; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$WORK/sources.list"
    printf 'Package: %s\nPin: release a=experimental\nPin-Priority: 600\n' "$package" >"$WORK/preferences"
    # All that apt keeps is kept here, so this machine's own lists and packages are left alone.
    cat >"$WORK/apt.conf" <<CONF
Dir "/"; Dir::State "$WORK"; Dir::State::Lists "$WORK/lists"; Dir::State::Status "$WORK/status"; Dir::Cache "$WORK/cache";
Dir::Etc::SourceList "$WORK/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "$WORK/preferences"; Dir::Etc::PreferencesParts "/dev/null";
#clear APT::Update::Pre-Invoke; #clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
    for try in 1 2 3; do
        apt-get -qq -c "$WORK/apt.conf" update &&
            apt-get -qq -c "$WORK/apt.conf" install --yes --download-only --no-install-recommends "$package" && break
        ((try < 3)) || return 1
        sleep $((try * 5))
    done
    for deb in "$WORK"/cache/archives/{lib,zlib,"$package"}*.deb; do
        dpkg-deb -x "$deb" "$WORK/tree" || return 1
    done
    rm -rf "$WORK/tree/usr/share" "$WORK"/tree/usr/lib/*/gconv
}

# Where this machine's apt gets Debian itself from.
mirror() {
    local codename
    codename=$(. /etc/os-release && [[ $ID == debian ]] && echo "$VERSION_CODENAME") || return 1
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' "Created-By: Packages" |
        awk -v release="$codename" '$1 == release && $2 == "main" && !found++ { print $3 }' | grep .
}

is_new_enough() {
    local version
    version=$(version_of "$1") && [[ $(printf '%s\n' "$least" "$version" | sort -V | head -n 1) == "$least" ]]
}

version_of() {
    [[ -x $1 ]] && "$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\) .*/\1/p' | grep .
}

main "$@"
