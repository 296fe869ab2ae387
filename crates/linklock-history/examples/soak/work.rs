//! What is done under the lock: a register that fencing tokens protect, and a counter that only the lock protects.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use linklock_history::Event;
use rustix::fs::{FlockOperation, flock};

use crate::record::{Doing, Recorder};
use crate::settings::Settings;

/// The protected resource: 16 bytes, the greatest fencing token and the value. It is not on the tested file system, and flock(2)
/// makes each of its operations atomic, also if a process is killed.
#[derive(Debug)]
pub(crate) struct Register {
    file: File,
    name: String,
    operations: u64,
}

impl Register {
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Box<dyn Error>> {
        let Some(path) = settings.find::<PathBuf>("register")? else { return Ok(None) };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(Some(Self { file, name: path.display().to_string(), operations: 0 }))
    }

    /// Reads or writes. Returns the value after it, or nothing if it is refused. A register that `takes_any` token is broken.
    pub(crate) fn ask(
        &mut self,
        recorder: &Recorder,
        fence: u64,
        write: Option<u64>,
        takes_any: bool,
    ) -> Result<Option<u64>, Box<dyn Error>> {
        self.operations += 1;
        let operation = format!("{}-{}", recorder.process, self.operations);
        let process = recorder.process.clone();
        let register = self.name.clone();
        let operation_asked = operation.clone();
        recorder.tell(&Event::Asked {
            at: recorder.now(),
            operation: operation_asked,
            register,
            process,
            fence,
            write,
        })?;
        flock(&self.file, FlockOperation::LockExclusive)?;
        let value = self.carry_out(fence, write, takes_any);
        flock(&self.file, FlockOperation::Unlock)?;
        let value = value?;
        recorder.tell(&Event::Answered { at: recorder.now(), operation, value })?;
        Ok(value)
    }

    fn carry_out(&self, fence: u64, write: Option<u64>, takes_any: bool) -> Result<Option<u64>, Box<dyn Error>> {
        let mut content = [0; 16];
        if self.file.metadata()?.len() > 0 {
            self.file.read_exact_at(&mut content, 0)?;
        }
        let (greatest, value) = content.split_at(8);
        let (greatest, value) = (u64::from_ne_bytes(greatest.try_into()?), u64::from_ne_bytes(value.try_into()?));
        if fence < greatest && !takes_any {
            return Ok(None);
        }
        let value = write.unwrap_or(value);
        content[..8].copy_from_slice(&fence.to_ne_bytes());
        content[8..].copy_from_slice(&value.to_ne_bytes());
        self.file.write_all_at(&content, 0)?;
        Ok(Some(value))
    }
}

/// A number in a file on the tested file system.
#[derive(Debug)]
pub(crate) struct Counter {
    path: PathBuf,
    tally: File,
}

impl Counter {
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Box<dyn Error>> {
        let Some(path) = settings.find::<PathBuf>("counter")? else { return Ok(None) };
        let tally = File::options().append(true).create(true).open(settings.file("tally")?)?;
        Ok(Some(Self { path, tally }))
    }

    /// Reads the number, lets time pass, and writes the next one. The tally gets the number, the process, when the file was opened,
    /// read and synchronized, and whether `is_held` still says that the lock is held: else the write was in doubt.
    pub(crate) fn increment(
        &self,
        recorder: &Recorder,
        pause: Duration,
        is_held: impl Fn() -> bool,
    ) -> Result<(), Box<dyn Error>> {
        recorder.doing(Doing::Counting)?;
        let asked = recorder.now();
        let file = File::options().read(true).write(true).open(&self.path)?;
        // An NFS client that was cut off may have lost its delegation and not know it. Then its cached pages are old, lock or not.
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        let mut content = [0; 8];
        file.read_exact_at(&mut content, 0)?;
        let read = recorder.now();
        std::thread::sleep(pause);
        let next = u64::from_ne_bytes(content) + 1;
        file.write_all_at(&next.to_ne_bytes(), 0)?;
        // And this is when the server gets it, with its errors.
        file.sync_data()?;
        drop(file);
        let (written, doubt) = (recorder.now(), if is_held() { "" } else { " in-doubt" });
        let line = format!("{next} {} {asked} {read} {written}{doubt}\n", recorder.process);
        (&self.tally).write_all(line.as_bytes())?;
        recorder.doing(Doing::Holding)
    }
}
