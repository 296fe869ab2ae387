# CycloneDX: which crates are in the programs and in the Python package, with their licences.
source packaging/common.sh

bill() { # bill CRATE FILE
    cargo cyclonedx --quiet --manifest-path "crates/$1/Cargo.toml" --format json --target all --no-build-deps --override-filename "$2"
    # The path of the work tree is in it, with its spaces encoded.
    sed 's,file:///[^"#]*/crates/,file:///linklock/crates/,g' "crates/$1/$2.json" >"$DIST/$2.json"
    # It writes one beside each crate of the workspace.
    rm -f crates/*/"$2.json"
}

need "the bills of materials" cargo
cargo_tool "the bills of materials" cargo-cyclonedx 0.5.9
bill linklock-cli "linklock-$VERSION.cdx"
bill linklock-py "linklock-python-$VERSION.cdx"
