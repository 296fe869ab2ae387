# What the parts of a release share. Each part sources this file, in the root of the work tree.
set -euo pipefail

ROOT=$PWD
DIST=$ROOT/dist
WORK=$ROOT/target/packaging
CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
HOMEPAGE=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
# A placeholder, as the host in Cargo.toml.
MAINTAINER="linklock maintainers <maintainers@repository.invalid>"
RELEASED=$(git log -1 --format=%ct)
# Nothing of this machine shall be in a package: neither times nor the language or the umask of who builds it.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$RELEASED} LC_ALL=C TZ=UTC
umask 022
unset RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR

not_run() { # not_run WHAT WHY: ends a part that cannot be made here.
    echo "not run: $1: $2"
    exit 77
}

need() { # need WHAT PROGRAM...: the part needs these programs.
    local what=$1 program
    for program in "${@:2}"; do
        command -v "$program" >/dev/null || not_run "$what" "$program is not installed"
    done
}

rust_target() { # rust_target WHAT TARGET: Rust's library for a target.
    rustup target list --installed | grep -qx "$2" || rustup --quiet target add "$2" || not_run "$1" "rustup could not add $2"
}

rust_flags() { # rust_flags FLAG...: sets CARGO_ENCODED_RUSTFLAGS. No path of this machine shall be in what is compiled.
    local flags=("$@" -Cstrip=symbols "--remap-path-prefix=$HOME=/home" "--remap-path-prefix=$CARGO_HOME=/cargo"
        "--remap-path-prefix=$ROOT=/linklock") sources
    # The last that fits counts. The name of the registry's folder differs between mirrors.
    cargo fetch --quiet --locked
    for sources in "$CARGO_HOME"/registry/src/*; do
        flags+=("--remap-path-prefix=$sources=/crates")
    done
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
    export CARGO_ENCODED_RUSTFLAGS
}

python_tools() { # A virtual environment with the tools of tools.txt. Sets PATH.
    local env=$WORK/venv
    if ! cmp --quiet packaging/tools.txt "$env/tools.txt"; then
        rm -rf "$env"
        python3 -m venv "$env" && "$env/bin/pip" install --quiet --disable-pip-version-check --requirement packaging/tools.txt \
            || not_run "$1" "no virtual environment with what packaging/tools.txt names"
        cp packaging/tools.txt "$env/tools.txt"
    fi
    PATH=$env/bin:$PATH
}

cargo_tool() { # cargo_tool WHAT NAME VERSION: a program from Rust's package registry, compiled once. Sets PATH.
    local tools=$WORK/tools/$2-$3
    [ -x "$tools/bin/$2" ] || cargo install --quiet --locked --root "$tools" --target-dir "$WORK/tools/build" --version "$3" "$2" \
        || not_run "$1" "cargo could not install $2"
    rm -rf "$WORK/tools/build"
    PATH=$tools/bin:$PATH
}

same_times() { # same_times DIR: gives all below it the time of the commit.
    find "$1" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}

archive() { # archive DIR FILE: DIR as a .tar.gz that is the same each time.
    tar --create --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --directory "$(dirname "$1")" "$(basename "$1")" | gzip --best --no-name >"$2"
}

program() { # program ARCHITECTURE: where binaries.sh puts the static program.
    echo "$WORK/cargo/$1-unknown-linux-musl/release/linklock"
}

lay_out() { # lay_out ARCHITECTURE DIR: what a package of a distribution installs, below DIR.
    local usr=$2/usr native doc=$2/usr/share/doc/linklock
    rm -rf "$2"
    native=$(program "$(uname -m)")
    [ -x "$native" ] && [ -x "$(program "$1")" ] || not_run "the package for $1" "packaging/build binaries has not made the program"
    install -D "$(program "$1")" "$usr/bin/linklock"
    install -d "$doc" "$usr/share/man/man1" "$usr/share/bash-completion/completions" "$usr/share/zsh/vendor-completions" \
        "$usr/share/fish/vendor_completions.d"
    "$native" man | gzip --best --no-name >"$usr/share/man/man1/linklock.1.gz"
    "$native" completions bash >"$usr/share/bash-completion/completions/linklock"
    "$native" completions zsh >"$usr/share/zsh/vendor-completions/_linklock"
    "$native" completions fish >"$usr/share/fish/vendor_completions.d/linklock.fish"
    install -m 644 README.md "$WORK/third-party.txt" "$doc"
    install -d "$doc/docs"
    install -m 644 docs/*.md docs/performance.svg docs/performance.txt "$doc/docs"
}

built_with() { # What else must be the same for the same bytes.
    echo "commit $(git rev-parse HEAD)"
    echo "time $SOURCE_DATE_EPOCH"
    rustc --version
    cargo --version
    cat packaging/tools.txt
}
