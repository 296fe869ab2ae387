# What goes to Rust's package registry. cargo compiles each once more, from what was packed.
source packaging/common.sh

CRATES=(linklock linklock-cli)

need "the crates" cargo
# build has warned of changes.
dirty=$(git status --porcelain)
# The second is compiled with the first as packed. cargo takes what it unpacked earlier for the same, whatever has changed since.
rm -rf "$WORK/crates" "$CARGO_HOME"/registry/{src,cache}/-*/linklock*-"$VERSION"*
cargo package --quiet --locked ${dirty:+--allow-dirty} --target-dir "$WORK/crates" "${CRATES[@]/#/--package=}"
for crate in "${CRATES[@]}"; do
    packed=$WORK/crates/package/$crate-$VERSION.crate
    for file in LICENSE README.md Cargo.lock; do
        tar --list --file "$packed" "$crate-$VERSION/$file" >/dev/null
    done
    cp "$packed" "$DIST"
done
