//! What /proc says of processes, on systems that have it.

use std::fs;

/// Whether /proc shows the pids of this process's own namespace. In those of a namespace around it, our pids mean other
/// processes. See proc_pid_status(5).
pub(super) fn is_own() -> bool {
    let own = std::process::id().to_string();
    let status = fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let pids = status.lines().find_map(|line| line.strip_prefix("NStgid:"));
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
        && pids.is_some_and(|pids| pids.split_ascii_whitespace().eq([own.as_str()]))
}

/// What /proc/PID/stat says, see proc_pid_stat(5). Of use only where [`is_own`].
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere nobody asks for what COMMAND has started"))]
pub(super) struct Stat {
    pub(super) parent: u32,
    /// 0: a group whose leader is outside the namespace.
    pub(super) group: i32,
    /// It waits to be reaped. A leader that ended before its other threads is a zombie too, but counts them.
    pub(super) has_ended: bool,
    pub(super) is_stopped: bool,
    /// In clock ticks after boot: with the pid it identifies a process.
    pub(super) start: u64,
}

impl Stat {
    /// `None` if there is no such process, or no such file.
    pub(super) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The command's name, in parentheses, may contain anything: start after the last one.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Counted from field 3, the state.
        let (state, threads) = (*fields.first()?, fields.get(17)?.parse::<u64>().ok()?);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            has_ended: matches!(state, "Z" | "X") && threads <= 1,
            is_stopped: matches!(state, "T" | "t"),
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_fields_begin_after_its_name_which_may_contain_anything() {
        let text = |state, threads| {
            format!("7 (a) Z 1 2 (\n) {state} 5 6 6 0 -1 64 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 0").into_bytes()
        };
        let runs = Stat::parse(&text("S", 1)).unwrap();
        assert_eq!((runs.parent, runs.group, runs.start), (5, 6, 99));
        assert!(!runs.has_ended && !runs.is_stopped);
        assert!(Stat::parse(&text("T", 1)).unwrap().is_stopped);
        assert!(Stat::parse(&text("Z", 1)).unwrap().has_ended);
        assert!(!Stat::parse(&text("Z", 2)).unwrap().has_ended, "its other threads go on");
        assert!(Stat::parse(b"7 (a) S 5 6").is_none());
    }
}
