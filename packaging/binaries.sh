# Static programs for Linux. musl and the linker come with Rust, so these do not depend on the C compiler of this machine.
source packaging/common.sh

TARGETS=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

compile() {
    local target upper
    for target in "${TARGETS[@]}"; do
        rust_target "the program for $target" "$target"
        upper=${target^^}
        export "CARGO_TARGET_${upper//-/_}_LINKER=rust-lld"
    done
    rust_flags -Crelocation-model=static -Clink-self-contained=yes
    cargo build --quiet --locked --release --package linklock-cli --target-dir "$WORK/cargo" "${TARGETS[@]/#/--target=}"
}

pack() { # pack TARGET: the program and what belongs to it, as an archive.
    local name=linklock-$VERSION-$1 tree native
    tree=$WORK/tree/$name
    native=$(program "$(uname -m)")
    rm -rf "$tree"
    install -D "$(program "${1%%-*}")" "$tree/linklock"
    install -d "$tree/man" "$tree/completions"
    "$native" man >"$tree/man/linklock.1"
    "$native" completions bash >"$tree/completions/linklock.bash"
    "$native" completions zsh >"$tree/completions/_linklock"
    "$native" completions fish >"$tree/completions/linklock.fish"
    install -m 644 LICENSE README.md CHANGELOG.md "$WORK/third-party.txt" "$tree"
    archive "$tree" "$DIST/$name.tar.gz"
}

need "the programs" cargo rustup
compile
python3 packaging/third_party.py linklock-cli "${TARGETS[@]}" >"$WORK/third-party.txt"
for target in "${TARGETS[@]}"; do
    pack "$target"
done
