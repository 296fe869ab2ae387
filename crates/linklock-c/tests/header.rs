//! include/linklock.h is what cbindgen makes of the sources.
//!
//! `LINKLOCK_HEADER=write cargo test -p linklock-c --test header` writes it anew.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_what_cbindgen_makes_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("a configuration"));
    for file in ["ffi.rs", "error.rs", "options.rs", "status.rs", "guard.rs"] {
        builder = builder.with_src(root.join("src").join(file));
    }
    let mut made = Vec::new();
    builder.generate().expect("sources that cbindgen can read").write(&mut made);
    let header = root.join("include/linklock.h");
    if env::var("LINKLOCK_HEADER").is_ok_and(|word| word == "write") {
        fs::write(&header, &made).expect("the header can be written");
    }
    let kept = fs::read_to_string(&header).expect("the header can be read");
    let made = String::from_utf8(made).expect("UTF-8");
    assert!(kept == made, "include/linklock.h is not what cbindgen makes: LINKLOCK_HEADER=write makes it anew");
}
