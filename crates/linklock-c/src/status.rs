//! What is at a lock path.

use std::ffi::c_char;
use std::time::{Duration, SystemTime};

use rust_linklock::{Holder, Printable, Protocol, State};

use crate::options::{LINKLOCK_PROTOCOL_DIR, LINKLOCK_PROTOCOL_LINK};
use crate::text::{c_text, filled};

/// There is no lock. The first contender acquires it.
pub const LINKLOCK_STATE_FREE: i32 = 1;
/// There is a lock, within its lifetime.
pub const LINKLOCK_STATE_HELD: i32 = 2;
/// There is a lock, and its lifetime has ended. A contender breaks it after the grace.
pub const LINKLOCK_STATE_EXPIRED: i32 = 3;
/// There is a lock, and its holder's process, on this machine, has ended. The next contender breaks it.
pub const LINKLOCK_STATE_ABANDONED: i32 = 4;
/// Something that is not a lock is at the lock path.
pub const LINKLOCK_STATE_NOT_A_LOCK: i32 = 5;

/// Room for the name of a host, with its NUL.
pub const LINKLOCK_HOST_SIZE: usize = 256;
/// Room for a token, with its NUL.
pub const LINKLOCK_TOKEN_SIZE: usize = 768;
/// Room for a text about a lock, with its NUL.
pub const LINKLOCK_TEXT_SIZE: usize = 1024;

/// What is at a lock path. Whoever may write to the lock's directory can forge what a holder says about itself.
///
/// Later versions of the library may add fields at the end: linklock_inspect is passed the size that the program knows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// LINKLOCK_STATE_FREE or another of the states; 0 after a failure.
    pub state: i32,
    /// The protocol by which the lock is held; 0 if there is no lock.
    pub protocol: i32,
    /// 1 if the next contender can acquire the lock immediately, else 0.
    pub available: i32,
    /// How many share the lock; 0 if it is not shared.
    pub readers: u32,
    /// The holder's process, on its machine; 0 if it is not known.
    pub pid: u32,
    /// 0. For later versions.
    pub reserved: u32,
    /// How much of the lifetime is left; 0 if it has ended or is not known.
    pub remaining_ms: i64,
    /// When the lifetime ends, on the file server's clock, since the Unix epoch; 0 if that is not known.
    pub expires_at_ms: i64,
    /// The name of the holder's machine, safe to print; empty if it is not known.
    pub host: [c_char; LINKLOCK_HOST_SIZE],
    /// The name of the holder's claim, as it is on disk and so not always safe to print; empty if it is not known.
    pub token: [c_char; LINKLOCK_TOKEN_SIZE],
    /// One line for people, safe to print: who holds the lock, or what is there.
    pub text: [c_char; LINKLOCK_TEXT_SIZE],
}

/// No byte of it is padding: it is copied to C byte by byte.
const _: () =
    assert!(size_of::<Status>() == 6 * 4 + 2 * 8 + LINKLOCK_HOST_SIZE + LINKLOCK_TOKEN_SIZE + LINKLOCK_TEXT_SIZE);

impl Status {
    pub(crate) fn new(found: &rust_linklock::Status) -> Self {
        let holder = found.holder.as_ref();
        Self {
            state: match found.state {
                State::Free => LINKLOCK_STATE_FREE,
                State::Expired => LINKLOCK_STATE_EXPIRED,
                State::Abandoned => LINKLOCK_STATE_ABANDONED,
                State::NotALock => LINKLOCK_STATE_NOT_A_LOCK,
                // Of a state that a later library adds, nobody may conclude that the lock is free.
                _ => LINKLOCK_STATE_HELD,
            },
            protocol: match found.protocol {
                None => 0,
                Some(Protocol::Dir) => LINKLOCK_PROTOCOL_DIR,
                Some(_) => LINKLOCK_PROTOCOL_LINK,
            },
            available: found.available.into(),
            readers: found.readers.len().try_into().unwrap_or(u32::MAX),
            pid: holder.filter(|holder| holder.has_process).map_or(0, |holder| holder.pid),
            reserved: 0,
            remaining_ms: found.remaining.map_or(0, milliseconds),
            expires_at_ms: found.expires_at.map_or(0, since_epoch),
            host: filled(&holder.map_or_else(String::new, |holder| Printable::new(&holder.host).to_string())),
            token: token(holder),
            text: filled(&text(found)),
        }
    }
}

fn token(holder: Option<&Holder>) -> [c_char; LINKLOCK_TOKEN_SIZE] {
    let mut array = [0; LINKLOCK_TOKEN_SIZE];
    if let Some(holder) = holder {
        let name = c_text(holder.token.as_os_str());
        // No file's name is longer. A cut one would be another claim's.
        if name.as_bytes().len() < LINKLOCK_TOKEN_SIZE {
            array.iter_mut().zip(name.as_bytes()).for_each(|(to, from)| *to = *from as c_char);
        }
    }
    array
}

fn text(found: &rust_linklock::Status) -> String {
    match (&found.what, &found.holder) {
        (Some(what), _) => Printable::new(what).to_string(),
        (None, Some(holder)) => format!("{holder}, {}", found.state),
        (None, None) => found.state.to_string(),
    }
}

/// Whole milliseconds, rounded down.
pub(crate) fn milliseconds(time: Duration) -> i64 {
    time.as_millis().try_into().unwrap_or(i64::MAX)
}

fn since_epoch(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, milliseconds)
}
