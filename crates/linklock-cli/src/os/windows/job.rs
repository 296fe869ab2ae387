//! Job objects: they end COMMAND if linklock is killed.

use std::collections::HashSet;
use std::io;
use std::os::windows::io::OwnedHandle;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, FALSE, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_LIMIT_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, PROCESS_QUERY_INFORMATION, PROCESS_TERMINATE, TerminateProcess,
};

use super::{owned, raw, succeeded};

/// A job with this process and all its descendants. Windows ends them when the job's only handle is closed, and closes the
/// handle itself if this process is killed.
///
/// After the drop the descendants may outlive linklock.
pub(crate) struct Job(OwnedHandle);

impl Job {
    /// Enters the job before COMMAND starts, so COMMAND is in it from its first moment: linklock may be killed at any time.
    pub(crate) fn enter() -> io::Result<Self> {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the call allows null for attributes and name.
        let job = Self(owned(unsafe { CreateJobObjectW(ptr::null(), ptr::null()) })?);
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        #[expect(unsafe_code, reason = "system calls")]
        // SAFETY: both handles are valid. That of this process is a constant and need not be closed.
        succeeded(unsafe { AssignProcessToJobObject(raw(&job.0), GetCurrentProcess()) })?;
        Ok(job)
    }

    fn limit(&self, flags: JOB_OBJECT_LIMIT) -> io::Result<()> {
        let limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
            BasicLimitInformation: JOBOBJECT_BASIC_LIMIT_INFORMATION { LimitFlags: flags, ..Default::default() },
            ..Default::default()
        };
        let size = size_of_val(&limits) as u32;
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the structure belongs to this class, and the size is the structure's.
        succeeded(unsafe {
            SetInformationJobObject(raw(&self.0), JobObjectExtendedLimitInformation, (&raw const limits).cast(), size)
        })
    }

    /// Ends all processes of the job except this one.
    pub(crate) fn end_others(&self, status: u32) -> io::Result<()> {
        let mut met = HashSet::from([std::process::id()]);
        loop {
            // The next round meets processes that one of these started before its end.
            let fresh: Vec<u32> = self.members()?.into_iter().filter(|pid| met.insert(*pid)).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for pid in fresh {
                self.end(pid, status);
            }
        }
    }

    /// Does nothing if the process has ended, even if another process has its number now: that one is not in the job.
    fn end(&self, pid: u32, status: u32) {
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: it takes numbers alone.
        let opened = unsafe { OpenProcess(PROCESS_TERMINATE | PROCESS_QUERY_INFORMATION, FALSE, pid) };
        let Ok(process) = owned(opened) else { return };
        let mut is_in_job = FALSE;
        #[expect(unsafe_code, reason = "system calls")]
        // SAFETY: the handles are valid, and `is_in_job` has room for the answer.
        unsafe {
            if IsProcessInJob(raw(&process), raw(&self.0), &raw mut is_in_job) != FALSE && is_in_job != FALSE {
                TerminateProcess(raw(&process), status);
            }
        }
    }

    /// The processes in the job, as many as the list has room for.
    fn members(&self) -> io::Result<Vec<u32>> {
        let mut list = ProcessIdList { _assigned: 0, listed: 0, ids: [0; ROOM] };
        let size = size_of_val(&list) as u32;
        let job: HANDLE = raw(&self.0);
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the structure has the layout that belongs to this class, and the size is the structure's.
        let asked = succeeded(unsafe {
            QueryInformationJobObject(job, JobObjectBasicProcessIdList, (&raw mut list).cast(), size, ptr::null_mut())
        });
        match asked {
            Err(e) if e.raw_os_error() != Some(ERROR_MORE_DATA as i32) => Err(e),
            _ => Ok(list.ids.iter().take(list.listed as usize).map(|id| *id as u32).collect()),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // With the limit in force, closing the handle would end this process too. The job is our own, so we may change it.
        let _ = self.limit(0);
    }
}

const ROOM: usize = 1000;

/// JOBOBJECT_BASIC_PROCESS_ID_LIST, with room for more than one.
#[repr(C)]
struct ProcessIdList {
    _assigned: u32,
    listed: u32,
    ids: [usize; ROOM],
}
