# The C library, for Linux with glibc 2.17 or newer, as archives to be unpacked below /usr/local.
source packaging/common.sh

TARGETS=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)

pack() { # pack TARGET
    local name=linklock-c-$VERSION-$1 tree doc
    tree=$WORK/tree/$name
    doc=$tree/share/doc/linklock-c
    rm -rf "$tree" "$WORK/c-root"
    DESTDIR=$WORK/c-root crates/linklock-c/install /usr/local "$WORK/c/$1/release"
    install -d "$WORK/tree"
    mv "$WORK/c-root/usr/local" "$tree"
    install -d "$doc"
    install -m 644 LICENSE CHANGELOG.md docs/c.md "$doc"
    python3 packaging/third_party.py linklock-c "$1" >"$doc/third-party.txt"
    archive "$tree" "$DIST/$name.tar.gz"
}

need "the C library" cargo rustup python3
python_tools "the C library"
rust_flags
for target in "${TARGETS[@]}"; do
    rust_target "the C library for $target" "$target"
    cargo zigbuild --quiet --locked --release --package linklock-c --target-dir "$WORK/c" --target "$target.2.17"
    pack "$target"
done
