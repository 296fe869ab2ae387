//! Gives the shared library its soname.

use std::env;

/// Grows when programs that were linked with the library before could not use it any more. `install` and docs/c.md name it too.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if ["linux", "android", "freebsd"].contains(&system.as_str()) {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblinklock.so.{ABI}");
        // The library's threads may run when a program calls dlclose(3): its code must stay.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
