# What ./demo and ./check need from the system, in one place. Sourced by both.
#
# Names are those of Debian 12; other distributions have the same things under names of their own.

# To build: compiler, meson, the five libraries; fuse3 brings fusermount3.
dependencies_build=(gcc libc6-dev pkg-config meson ninja-build fuse3 libfuse3-dev
    libcurl4-openssl-dev libcjson-dev libmicrohttpd-dev ca-certificates)
# What the lines that ./demo prints use.
dependencies_demo=(attr jq ripgrep)
# To test: the second compiler, the test frameworks, tools that read a mount their own way, and
# editors that save to one (libglib2.0-bin has gio).
dependencies_check=(clang libcmocka-dev python3 python3-pytest python3-pytest-xdist attr jq ripgrep
    rsync procps mount util-linux iproute2 groff-base mandoc man-db
    vim nano emacs-nox ed perl libglib2.0-bin tmux)

# To fuzz: clang's runtime, which the package clang only recommends.
dependencies_fuzz=(clang libclang-rt-14-dev libcmocka-dev)

# To count what the tests reach (tools/coverage).
dependencies_coverage=(clang libclang-rt-14-dev llvm)

# To read the code.
dependencies_lint=(clang-tidy cppcheck)

# To watch it run.
dependencies_run=(valgrind)

# Installs whichever of the given packages are missing, as root or through sudo.
dependencies_install() {
    local package missing=() root=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This system has no apt-get: what is needed, in Debian's names, is $*" >&2
        return 0
    fi
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "Missing, and only root can install it: apt-get install ${missing[*]}" >&2
            return 1
        fi
        root=(sudo)
        # Without a terminal nobody can type a password: fail rather than wait.
        [[ -t 0 ]] || root=(sudo -n)
    fi
    echo "Installing ${missing[*]}"
    # The index of a fresh image is empty or old; a failure shows in the installation.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" </dev/null >&2
}
