//! The shell that a lock of `acquire` belongs to.
//!
//! The lock ends with its process. If that process ended before the work, a second holder would come in. So only a shell is
//! named that certainly outlasts the call and has the token: the one that reads our output, as in
//! `token=$(linklock acquire ...)`. Whatever stands between the two, such as timeout(1), sudo(8) or another script, makes no
//! difference. A caller that does not read our output may end right after linklock, as a shell does that was given a command by
//! ssh(1) or by a CI runner.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::proc::{self, Stat};

/// The shell that reads our output, or the outermost that reads the output of a process around us; `None` if there is no such
/// shell, or if it cannot be known.
///
/// A shell that has the token may hand it on to one that reads its own output, as a function does in `token=$(take_the_lock)`.
/// That one waits for it, so it lasts longer. If it is not the one that works, the lock is only recovered later. A subshell that
/// reads the token counts by itself: in the background it may outlast the shell that has started it.
pub(crate) fn calling_shell() -> Option<u32> {
    if !proc::is_own() {
        return None;
    }
    let mut writers = vec![std::process::id()];
    let mut found = None;
    for ancestor in ancestors() {
        let mut pipes = writers.iter().filter_map(|writer| output_pipe(*writer));
        if is_shell(ancestor) && pipes.any(|pipe| reads(ancestor, &pipe)) {
            found = Some(ancestor);
        }
        writers.push(ancestor);
    }
    found
}

/// The pipe that is the process's standard output, as /proc names it.
fn output_pipe(pid: u32) -> Option<PathBuf> {
    let link = fs::read_link(format!("/proc/{pid}/fd/1")).ok()?;
    link.as_os_str().as_bytes().starts_with(b"pipe:[").then_some(link)
}

/// Whether the process has the reading end of the pipe, and not the writing end alone.
fn reads(pid: u32, pipe: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|fd| {
        fs::read_link(fd.path()).is_ok_and(|link| link == pipe) && is_read_only(pid, &fd.file_name()).unwrap_or(false)
    })
}

/// By the flags that proc_pid_fdinfo(5) shows.
fn is_read_only(pid: u32, descriptor: &OsStr) -> Option<bool> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", descriptor.to_str()?)).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(i32::from_str_radix(flags.trim(), 8).ok()? & libc::O_ACCMODE == libc::O_RDONLY)
}

/// The names of shells' files, without what follows the letters: a version, or " (deleted)" after an upgrade.
const SHELLS: [&str; 20] = [
    "sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "mksh", "lksh", "pdksh", "oksh", "yash", "posh", "fish", "csh",
    "tcsh", "osh", "nu", "elvish", "pwsh",
];

/// Other programs read our output too, only to pass it on: sshd(8), a CI runner.
fn is_shell(pid: u32) -> bool {
    let Ok(file) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let name = letters(file.file_name().unwrap_or_default());
    if !matches!(name.as_str(), "busybox" | "toybox") {
        return SHELLS.contains(&name.as_str());
    }
    // One file for many programs: its first words name the one, as in `busybox sh`, `/bin/sh` or, at a login, `-sh`.
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).take(2);
    let mut names = words.map(|word| {
        let file = Path::new(OsStr::from_bytes(word)).file_name().unwrap_or_default().as_bytes();
        letters(OsStr::from_bytes(file.strip_prefix(b"-").unwrap_or(file)))
    });
    names.find(|own| *own != name).is_some_and(|own| SHELLS.contains(&own.as_str()))
}

fn letters(name: &OsStr) -> String {
    name.as_bytes().iter().take_while(|byte| byte.is_ascii_alphabetic()).map(|byte| char::from(*byte)).collect()
}

/// The command line of a process, if /proc has it.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty() && proc::is_own())?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0);
    Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
}

/// The ancestors of this process, its parent first.
fn ancestors() -> Vec<u32> {
    /// More than any script has. Pids that are used again while we look cannot make it go round.
    const MOST: usize = 256;
    let mut ancestors = Vec::new();
    let parent = |pid| Stat::read(pid).map(|stat| stat.parent);
    let mut next = parent(std::process::id());
    while let Some(pid) = next.filter(|pid| *pid != 0 && ancestors.len() < MOST) {
        ancestors.push(pid);
        next = parent(pid);
    }
    ancestors
}
