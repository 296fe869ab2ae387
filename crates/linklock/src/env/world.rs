//! All that a protocol may ask of the world, as one trait: files, clocks, randomness, processes, waiting.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::attr::{Attr, FileId, Meant};
use super::location::Location;
#[cfg(unix)]
use super::os::unix::system::event::Event;
#[cfg(all(unix, feature = "tokio"))]
use super::os::unix::wakes::{Wakes, Woken};
#[cfg(windows)]
use super::os::windows::event::Event;
#[cfg(all(windows, feature = "tokio"))]
use super::os::windows::wakes::{Wakes, Woken};
use crate::file_system::{FileSystem, Mount, Stamps};
use crate::fingerprint::Fingerprint;
use crate::hint::Ear;
use crate::time::{LocalTime, ServerTime};

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    /// It has ended, or its pid is another process's now.
    Dead,
    Unknown,
}

/// Says what mtime a new file is to have, see [`Env::create`].
pub(crate) type Expiry<'a> = dyn FnMut(&Attr) -> Option<ServerTime> + 'a;

/// Takes a name in a directory, with the number that the directory has for its inode. No file has number 0. On some file systems
/// a file's attributes have another number.
pub(crate) type Each<'a> = dyn FnMut(&OsStr, u64) -> ControlFlow<()> + 'a;

/// The permissions of a new directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirMode {
    /// These, less the umask. They must have the sticky bit, by which the directory is known again.
    Usual(u32),
    /// These, whatever the umask.
    Exactly(u32),
}

/// A directory that was made just now, and is open: what is made in it is made there, whatever has its name meanwhile.
pub(crate) trait NewDir {
    /// Whether it has the sticky bit that it was made with.
    fn is_sticky(&self) -> bool {
        true
    }
    /// As [`Env::create`].
    fn create(&self, name: &OsStr, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr>;
}

/// The world as the protocols see it. Every function may block for as long as the file system does. None follows a symbolic
/// link at a [`Location`].
pub(crate) trait Env: Debug + Send + Sync {
    /// The clock that deadlines are kept on; it counts in suspend and is never set.
    fn now(&self) -> LocalTime;
    /// This machine's wall clock. For looking without touching alone: it decides nothing.
    fn wall_clock(&self) -> ServerTime;
    fn random(&self) -> u64;
    /// A number that no other claim, of this or another process, ever gets, and that nobody can guess: a counter with a random
    /// start, drawn again after a fork, and random bits.
    fn unique(&self) -> u64;

    fn host_name(&self) -> String;
    fn process_id(&self) -> u32;
    /// Which of all processes this is. It differs in a forked child, even if a pid comes again there.
    fn generation(&self) -> u64;
    /// What tells process `pid` from every other that has or had this pid; `None` where the system does not say, or
    /// where there is no such process.
    fn fingerprint(&self, pid: u32) -> Option<Fingerprint>;
    /// Whether the process that had `pid` and this fingerprint is still there.
    fn liveness(&self, pid: u32, fingerprint: Fingerprint) -> Liveness;
    /// Whether a process may have this pid: false only if the system says that none has.
    fn may_exist(&self, pid: u32) -> bool;

    /// The name of a process of this machine, for people to read.
    fn command(&self, pid: u32) -> Option<String>;
    /// Who runs this process, for people to read.
    fn user(&self) -> Option<String>;
    /// The number of the user for whom this process acts on files; `None` where users have no numbers.
    fn user_id(&self) -> Option<u32> {
        None
    }
    /// The name of the user with this number on this machine, for people to read.
    fn name_of_user(&self, _id: u32) -> Option<String> {
        None
    }

    /// Makes a new file with this content. `expiry` is asked for the mtime to give it, if any, and told the attributes right
    /// after the file came to be: their ctime is the server's now. Gives the attributes that the file has then, as this machine
    /// knows them. If anything fails, no file is left.
    fn create(&self, at: &Location, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr>;
    /// Sets the mtime, and the atime with it: file systems on libfuse 2 ignore a change of the mtime alone, and answer that all
    /// is well. Gives the attributes as this machine knows them: those that came with the reply, where there is one. Of any
    /// other file than the one that is meant, nothing is changed: `NotFound`.
    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr>;
    /// Makes the file that is meant longer by `content`; of any other, nothing is changed: `NotFound`. On return the server has it.
    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()>;
    /// Changes the ctime, of the file that is meant, and leaves the mtime alone. Of the attributes it gives, only the ctime is
    /// sure to be the server's.
    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr>;
    /// The attributes, asked of the server and not of a cache.
    fn stat(&self, at: &Location) -> io::Result<Attr>;
    /// The attributes of the lock's directory, asked of the server.
    fn stat_dir(&self, dir: &Path) -> io::Result<Attr>;
    /// The attributes as this machine knows them: right after a call that has changed the file, those that came with the
    /// reply. Asks nobody where that can be avoided.
    fn stat_as_known(&self, at: &Location) -> io::Result<Attr>;
    /// Which file has this name, as this machine knows it. Asks nobody where that can be avoided.
    fn id_as_known(&self, at: &Location) -> io::Result<FileId>;
    /// The permissions, as this machine knows them. Asks nobody where that can be avoided, even after a change of the file.
    fn mode_as_known(&self, at: &Location) -> io::Result<u32> {
        Ok(self.stat_as_known(at)?.mode)
    }
    /// Up to `limit` bytes of a regular file and its attributes, those of the very file that was read.
    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)>;
    /// As `read`, but leaves no read delegation of NFS 4 with this machine: if the machine were cut off, that would hold up
    /// whoever changes the file. Where no open is sure to leave none, nothing is opened: `Unsupported`. `device` is the file's.
    fn read_without_delegation(&self, at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)>;
    /// Shows `each` the names in a directory, one by one, until it breaks. Nothing is kept of them: others may have put any
    /// number there.
    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()>;
    /// The same for the lock's directory.
    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()>;
    /// `Unsupported` where the file system has no hard links.
    fn link(&self, from: &Location, to: &Location) -> io::Result<()>;
    fn rename(&self, from: &Location, to: &Location) -> io::Result<()>;
    /// As `rename`, but fails if `to` exists. Not every file system can (NFS cannot): EINVAL.
    fn rename_noreplace(&self, from: &Location, to: &Location) -> io::Result<()>;
    fn unlink(&self, at: &Location) -> io::Result<()>;
    fn mkdir(&self, at: &Location, mode: u32) -> io::Result<()>;
    /// Makes a directory, and opens it: `AlreadyExists` too if another has taken its place meanwhile.
    fn make_dir(&self, at: &Location, mode: DirMode) -> io::Result<Box<dyn NewDir>>;
    fn rmdir(&self, at: &Location) -> io::Result<()>;
    /// Makes a symbolic link, which nobody is to follow. `Unsupported` where it is not known how.
    fn symlink(&self, _target: &OsStr, _at: &Location) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// What a symbolic link says. Right after this machine's own change of the directory, a name that is not there is known not to
    /// be, and nobody is asked.
    fn read_symlink(&self, _at: &Location) -> io::Result<OsString> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Whether a removal there takes whatever has the name by the time that it is carried out, be it a file or an empty
    /// directory: so does NFS 4. True if it is not known.
    fn removes_by_name_alone(&self, dir: &Path) -> bool;
    /// Whose clock stamps the files in a directory. Asks the server for nothing.
    fn stamps(&self, dir: &Path) -> Stamps;
    /// Of what kind the file system of a directory is, if it is a known one. Asks the server for nothing.
    fn file_system(&self, _dir: &Path) -> Option<&'static FileSystem> {
        None
    }
    /// How a directory is mounted, for people to read.
    #[allow(dead_code, reason = "the doctor asks for it")]
    fn mount(&self, _dir: &Path) -> Option<Mount> {
        None
    }

    /// Where this process hears hints that other machines send it, if it can. They come over the way that leads to the file server
    /// of this directory.
    fn ear(&self, _dir: &Path) -> Option<SocketAddr> {
        None
    }
    /// Sends a hint. Nobody learns whether it arrives.
    fn hint(&self, _to: &Ear) {}

    fn watcher(&self) -> Box<dyn Watcher>;
    /// Waits for so long, or until `cancel` is set.
    fn rest(&self, time: Duration, cancel: Option<&Event>) {
        let until = self.now() + time;
        // One that is armed for nothing may still wake for nothing.
        let mut watcher = self.watcher();
        while self.now() < until && !cancel.is_some_and(Event::is_set) {
            watcher.wait(until, cancel);
        }
    }
    /// The same for a task: the thread that waits for all tasks sleeps with it.
    #[cfg(feature = "tokio")]
    fn watcher_for_task(&self) -> Box<dyn Watcher> {
        self.watcher()
    }

    /// Whether an error says that this process or the system has too many open files.
    fn is_for_want_of_descriptors(&self, _: &io::Error) -> bool {
        false
    }

    /// Whether a safety step is left out: never, but in a simulation that shows what the step is good for.
    fn leaves_out(&self, _: Step) -> bool {
        false
    }
}

/// The steps that keep two holders apart, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A fresh expiry before every attempt.
    FreshExpiry,
    /// A claim that was tried before, and has a fresh expiry now, is seen not to be at the lock path before it is tried again.
    EarlyArrival,
    /// What is on disk decides an attempt, not what the call returned.
    DecideByDisk,
    /// A lock that was won too late is not trusted.
    DeadlineOnceWon,
    /// Breakers take turns.
    BreakersGuard,
    /// A breaker looks again when it is its turn.
    LookAgain,
    /// Before it is released, a lock is seen to be ours.
    CheckBeforeRelease,
    /// After its deadline, a holder leaves the lock path alone.
    DeadlineBeforeRelease,
    /// A lock that is held for another process, whose end makes it dead, is released in turn with its breakers.
    ReleaseInTurn,
    /// A refresh counts only if it began and returned before the deadline.
    DeadlineOfRefresh,
    /// A refresh sees that the lock is still ours.
    CheckAfterRefresh,
    /// A lock is broken only after the grace.
    Grace,
    /// Before a break the server's clock is asked again.
    AskClock,
    /// A lock is judged by what the clock said when it was looked at, not by what it says now.
    JudgeByLook,
    /// Where it is not known whose clock stamps files, none is compared.
    WhoseClock,
    /// A lock that is watched without a clock is watched for its own lifetime, not for the watcher's.
    OwnLifetime,
    /// Where no clock is compared, a refresh leaves what no late request takes back.
    GrowingEntry,
    /// A refresh counts as far as the attributes show it that came back.
    ShownRefresh,
    /// Who looks at a lock leaves no delegation with its machine.
    NoDelegation,
    /// Before a breaker looks again, or a fencing token is given, cached names are made to be asked for.
    FreshNames,
    /// A dir lock lasts from its last change, whatever its mtime says.
    ExpiryFromChange,
    /// Where a removal takes whatever has the name, those who clear the lock path take turns.
    ClearInTurn,
    /// A reader holds a shared lock only if it sees, after its entry is there, that nobody has the lock for himself.
    ReaderLooksAgain,
    /// What is on disk decides a downgrade, not what the call returned.
    DowngradeByDisk,
    /// A downgrade counts only if it began and returned before the deadline.
    DeadlineOfDowngrade,
    /// A fencing token is given only if the lock is still ours after the number was there.
    FenceSeesLock,
    /// A fencing token is given only if no greater one is seen after it was there.
    FenceLooksAgain,
}

/// Which changes of a watched path wake a waiter at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "no system has them all")]
pub(crate) enum Reach {
    /// All: nobody but this machine can change the file system.
    All,
    /// Those made on this machine; the file system is shared with others.
    ThisMachine,
    /// None, and the file system is this machine's own.
    NoneLocal,
    /// As `NoneLocal`, but only because so many wait already: they are woken.
    Crowded,
    /// None, and the file system is shared with others.
    NoneShared,
}

impl Reach {
    /// Whether other machines can change the file system.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::ThisMachine | Self::NoneShared)
    }
}

/// What a contender waits with, for changes at one path.
pub(crate) trait Watcher: Debug + Send {
    /// Wakes on a change of what is there now, and on the end of process `pid`. To be called before looking: a change
    /// between the look and the wait is then not missed.
    fn arm(&mut self, at: &Location, pid: Option<u32>);
    /// The same, beside what it is armed for already. Where there is no means for more, the poll finds it.
    fn also_arm(&mut self, _at: &Location, _pid: Option<u32>) {}
    fn reach(&self) -> Reach;
    /// Wakes on a hint with this number too, see [`Env::ear`]: on some of them only, if they come often. To be called anew after a
    /// hint has shown to be true.
    fn listen(&mut self, _nonce: u64) {}
    /// Whether the one process that it is armed for is still there as far as the last wait told, and its end would wake.
    fn sees_end(&self) -> bool {
        false
    }
    /// Waits for a change, for `cancel` to be set, or until `until`, whatever comes first; may wake for nothing.
    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>);
    /// The first half of `wait`: what to sleep with. `None` if there is a reason to look already.
    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<Wakes>;
    /// The second half, after something has woken it or its time is up. True if there is a reason to look.
    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, woken: Woken, cancel: Option<&Event>) -> bool;
}
