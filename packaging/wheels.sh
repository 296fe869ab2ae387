# The Python packages. zig links them against old versions of glibc and against musl. One wheel a system is for all CPythons.
# There are none for Windows and macOS: the package needs Linux.
source packaging/common.sh

# The target, what the wheel may rely on, and flags for Rust.
KINDS=(
    "x86_64-unknown-linux-gnu manylinux2014"
    "aarch64-unknown-linux-gnu manylinux2014"
    "x86_64-unknown-linux-musl musllinux_1_2 -Ctarget-feature=-crt-static"
    "aarch64-unknown-linux-musl musllinux_1_2 -Ctarget-feature=-crt-static"
)

notices() { # What maturin takes into the wheels, if it is there.
    local targets=("${KINDS[@]%% *}")
    trap 'rm -f "$ROOT/crates/linklock-py/third-party.txt"' EXIT
    python3 packaging/third_party.py linklock-py "${targets[@]}" >crates/linklock-py/third-party.txt
}

wheel() { # wheel TARGET COMPATIBILITY FLAG...
    rust_target "the wheel for $1" "$1"
    rust_flags "${@:3}"
    maturin build --quiet --release --locked --zig --target "$1" --compatibility "$2" --target-dir "$WORK/wheels" --out "$DIST" \
        --manifest-path crates/linklock-py/Cargo.toml
}

flufl() { # linklock-flufl is Python alone.
    local copy=$WORK/linklock-flufl
    # Its build leaves files beside the sources.
    rm -rf "$copy"
    cp -aL crates/linklock-py/linklock-flufl "$copy"
    same_times "$copy"
    pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$DIST" "$copy"
}

need "the wheels" cargo rustup python3
python_tools "the wheels"
notices
for kind in "${KINDS[@]}"; do
    # Unquoted, to split it.
    wheel $kind
done
# Only wheels have other packages in them.
rm crates/linklock-py/third-party.txt
maturin sdist --manifest-path crates/linklock-py/Cargo.toml --out "$DIST"
flufl
twine check --strict "$DIST"/*.whl "$DIST"/linklock-"$VERSION".tar.gz
