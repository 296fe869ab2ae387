//! Gives inputs to a fuzz target: `linklock-fuzz TARGET FILE...`. Compiled with `--cfg fuzzing`, as tests/fuzz/run does, it is
//! libFuzzer, which looks for inputs by itself; the variable `LINKLOCK_FUZZ_TARGET` names the target.

#![cfg_attr(all(fuzzing, target_os = "linux"), no_main)]

#[cfg(all(fuzzing, target_os = "linux"))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(|| {
        let name = std::env::var("LINKLOCK_FUZZ_TARGET").unwrap_or_default();
        let known = linklock_fuzz::TARGETS.into_iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("LINKLOCK_FUZZ_TARGET={name}: there is no such target")).1
    });
    TARGET(data);
});

#[cfg(all(not(fuzzing), target_os = "linux"))]
fn main() -> std::process::ExitCode {
    let mut words = std::env::args_os().skip(1);
    let name = words.next().unwrap_or_default();
    let Some((_, fuzz)) = linklock_fuzz::TARGETS.into_iter().find(|(known, _)| name == *known) else {
        complain("usage: linklock-fuzz TARGET FILE...");
        return 64.into();
    };
    for file in words {
        match std::fs::read(&file) {
            Ok(data) => fuzz(&data),
            Err(e) => {
                complain(&format!("{}: {e}", linklock::Printable::new(&file)));
                return 74.into();
            }
        }
    }
    std::process::ExitCode::SUCCESS
}

#[cfg(all(not(fuzzing), target_os = "linux"))]
fn complain(what: &str) {
    // If nobody reads it, nothing can be done about it.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{what}\n").as_bytes());
}

#[cfg(not(target_os = "linux"))]
fn main() {}
