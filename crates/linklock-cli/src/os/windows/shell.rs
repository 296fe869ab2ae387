//! The caller of linklock.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::OwnedHandle;

use windows_sys::Win32::Foundation::{FALSE, FILETIME, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION};

use super::{owned, raw};

/// The process that runs the script which called us.
///
/// That is linklock's parent, if it is a shell: another program may have started linklock and end right after it, so then no
/// process is named. The parent is not the script's if the script's shell has started another shell to run linklock: cmd does so for
/// `for /f ... in ('linklock acquire ...')`, and the shells of MSYS and Cygwin for `$(linklock acquire ...)`. That shell
/// ends right after linklock, and the lock would be abandoned at once. So shells of one name that have started each other
/// count as one, and the outermost is the script's. If the guess is wrong, the lock names a process that lasts longer. That
/// is safe: nobody takes the lock from a working script, it only lasts until its expiry.
pub(crate) fn calling_shell() -> Option<u32> {
    let processes = snapshot().ok()?;
    let mut shell = parent(&processes, std::process::id()).filter(|parent| is_shell(&processes[parent].name))?;
    while let Some(outer) = parent(&processes, shell)
        && processes[&outer].name == processes[&shell].name
    {
        shell = outer;
    }
    Some(shell)
}

fn is_shell(name: &[u16]) -> bool {
    const SHELLS: [&str; 9] =
        ["cmd.exe", "powershell.exe", "pwsh.exe", "sh.exe", "bash.exe", "dash.exe", "zsh.exe", "busybox.exe", "nu.exe"];
    SHELLS.contains(&String::from_utf16_lossy(name).to_ascii_lowercase().as_str())
}

struct Entry {
    parent: u32,
    /// The program's file.
    name: Vec<u16>,
}

/// The parent, if it still exists. If another process has its number now, that one started later than the child.
fn parent(processes: &HashMap<u32, Entry>, pid: u32) -> Option<u32> {
    let parent = processes.get(&pid)?.parent;
    (processes.contains_key(&parent) && parent != pid && started(parent)? <= started(pid)?).then_some(parent)
}

/// All processes, by their numbers.
fn snapshot() -> io::Result<HashMap<u32, Entry>> {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it takes numbers alone.
    let made = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if made == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let snapshot: OwnedHandle = owned(made)?;
    let mut entry = PROCESSENTRY32W { dwSize: size_of::<PROCESSENTRY32W>() as u32, ..Default::default() };
    let mut processes = HashMap::new();
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the handle is a snapshot's, and the entry contains its size.
    let mut more = unsafe { Process32FirstW(raw(&snapshot), &raw mut entry) };
    while more != FALSE {
        let name = entry.szExeFile.iter().copied().take_while(|unit| *unit != 0).collect();
        processes.insert(entry.th32ProcessID, Entry { parent: entry.th32ParentProcessID, name });
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: as above.
        let next = unsafe { Process32NextW(raw(&snapshot), &raw mut entry) };
        more = next;
    }
    Ok(processes)
}

/// When the process started; `None` if it has ended, or if this user may not ask.
fn started(pid: u32) -> Option<u64> {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it takes numbers alone.
    let opened = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid) };
    let process = owned(opened).ok()?;
    let mut times = [FILETIME::default(); 4];
    let [start, exit, kernel, user] = &mut times;
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the handle is valid, and `times` has room for all answers.
    let known = unsafe { GetProcessTimes(raw(&process), start, exit, kernel, user) } != FALSE;
    known.then(|| u64::from(start.dwHighDateTime) << 32 | u64::from(start.dwLowDateTime))
}

/// The command line of a process, which linklock does not read on Windows.
pub(crate) fn command_line(_: u32) -> Option<String> {
    None
}
