//! A lock path, and the names that may stand beside it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::claim::{Claim, NONCE_DIGITS, PID_DIGITS_MOST, SHARED, all_digits, nonce, parse_nonce};
use crate::env::Location;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::lifetime::RoundLifetime;
use crate::names::{self, NOT_IN_NAMES, bytes_of};
use crate::printable::Printable;
use crate::token::Token;

/// The most slots that a lock can have. Whoever waits looks at all of them.
pub(crate) const SLOTS_MOST: usize = 256;
/// The end of the name of the link that a waiter leaves beside the ticket before its own.
pub(crate) const NEXT: &str = ".next";
/// The digits of the time at the start of a ticket's name: enough for any 64-bit number.
pub(crate) const TICKET_DIGITS: usize = 20;
const BELL: &str = "bell";
const BREAK_LOCK: &str = "break";
const FENCE: &str = "fence";
const QUEUE: &str = "queue";
/// The longest file name on common file systems, in bytes (NAME_MAX).
const NAME_MOST: usize = 255;
/// The longest file name on Windows, in bytes of UTF-8: Windows counts in UTF-16. A longer text is not a file name.
const READ_MOST: usize = 3 * NAME_MOST;

/// An absolute lock path, and the names that may stand beside it.
#[derive(Clone, Debug)]
pub(crate) struct LockPath {
    location: Location,
    dir: PathBuf,
    name: OsString,
    separator: char,
    /// See [`Location::found`].
    found: usize,
    /// Whether it is the break lock of another lock path.
    pub(crate) is_break_lock: bool,
}

impl LockPath {
    /// Makes the path absolute, so that a later chdir changes nothing.
    pub(crate) fn new(path: &Path, separator: char) -> Result<Self, Error> {
        let invalid = |why: &str| Error::invalid(format!("lock path {}: {why}", Printable::new(path)));
        if separator.is_alphanumeric() || separator.is_control() || "/\\.".contains(separator) {
            return Err(Error::invalid(format!(
                "separator {separator:?}: must be a printable character, but not a letter, a digit, /, \\ or ."
            )));
        }
        if NOT_IN_NAMES.contains(&separator) {
            return Err(Error::invalid(format!(
                "separator {separator:?}: file names on this system cannot contain it"
            )));
        }
        // Checks the path as it was given: making it absolute may change an invalid name.
        if let Some(flaw) = names::flaw_of(path) {
            return Err(invalid(&flaw));
        }
        let absolute = std::path::absolute(path).map_err(|e| invalid(&e.to_string()))?;
        if names::position(bytes_of(&absolute), separator).is_some() {
            return Err(invalid(&format!(
                "contains the separator {separator:?}, so the names beside it would be ambiguous; choose another path or another separator"
            )));
        }
        match (absolute.parent(), absolute.file_name()) {
            (Some(dir), Some(name)) => {
                let location = Location::beside(dir, name);
                Ok(Self { location, dir: dir.into(), name: name.into(), separator, found: 0, is_break_lock: false })
            }
            _ => Err(invalid("does not end in a file name")),
        }
    }

    /// The same path, in a directory that was found: see [`Location::found`].
    pub(crate) fn found(self, found: usize) -> Self {
        Self { location: self.location.found(found), found, ..self }
    }

    /// A name in the lock's directory.
    pub(crate) fn at(&self, name: &OsStr) -> Location {
        Location::beside(&self.dir, name).found(self.found)
    }

    /// The lock's directory itself, if it was found, to be reached without following it.
    pub(crate) fn found_dir(&self) -> Option<Location> {
        let (above, name) = (self.dir.parent()?, self.dir.file_name()?);
        Some(Location::beside(above, name).found(self.found.checked_sub(1)?))
    }

    /// The lock's directory, as a location: followed if it was named.
    pub(crate) fn dir_itself(&self) -> Location {
        self.found_dir().unwrap_or_else(|| Location::beside(&self.dir, ".".as_ref()))
    }

    /// The path of the break lock, by which breakers take turns.
    pub(crate) fn of_break_lock(&self) -> Self {
        let name = self.name_for(BREAK_LOCK);
        Self { location: self.at(&name), name, is_break_lock: true, ..self.clone() }
    }

    /// The lock path of the nth slot of this one.
    pub(crate) fn of_slot(&self, n: usize) -> Self {
        let mut name = self.name.clone();
        name.push(format!(".{n}"));
        Self { location: self.at(&name), name, ..self.clone() }
    }

    /// The lock path of which this is a slot, if its name is one's.
    pub(crate) fn without_slot(&self) -> Option<Self> {
        let path = Path::new(&self.name);
        let (name, number) = (path.file_stem()?.to_owned(), path.extension()?.to_str()?);
        let is_slot = number.parse().is_ok_and(|n: usize| (1..=SLOTS_MOST).contains(&n) && n.to_string() == number);
        is_slot.then(|| Self { location: self.at(&name), name, ..self.clone() })
    }

    /// The bell, by which a waiter shows that it waits.
    pub(crate) fn bell(&self) -> Location {
        self.at(&self.name_for(BELL))
    }

    /// The directory of the fencing tokens.
    pub(crate) fn fence(&self) -> Location {
        self.at(&self.name_for(FENCE))
    }

    /// The directory of the queue.
    pub(crate) fn queue(&self) -> Location {
        self.at(&self.name_for(QUEUE))
    }

    fn name_for(&self, purpose: &str) -> OsString {
        let mut name = self.name.clone();
        name.push(self.separator.encode_utf8(&mut [0; 4]));
        name.push(purpose);
        name
    }

    /// Checks that all names fit which a contender on this host may have to create: its claim, a claim of the break
    /// lock and, in a queue, its ticket. Otherwise it might acquire a lock that it cannot break or wait for.
    pub(crate) fn check_room(&self, host: &str, queue: bool, shared: bool) -> Result<(), Error> {
        let s = self.separator.len_utf8();
        let claim = self.name.len() + 3 * s + host.len() + PID_DIGITS_MOST + NONCE_DIGITS;
        // A reader's claim is longer, but not by as much as a claim of the break lock.
        let of_reader = if shared { SHARED.len() } else { 0 };
        let longest = claim + if queue { TICKET_DIGITS + NEXT.len() + of_reader } else { s + BREAK_LOCK.len() };
        if longest <= NAME_MOST {
            return Ok(());
        }
        let most = self.name.len().saturating_sub(longest - NAME_MOST);
        Err(Error::invalid(format!(
            "lock path {}: its name has {} bytes; with the host name {host:?} it may have {most}, since the names beside it may have at most {NAME_MOST}",
            Printable::new(self.as_path()),
            self.name.len()
        )))
    }

    pub(crate) fn as_path(&self) -> &Path {
        self.location.as_path()
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn separator(&self) -> char {
        self.separator
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The location of a claim, or of anything else with a token's name.
    pub(crate) fn beside(&self, token: &Token) -> Location {
        self.at(token.as_os_str())
    }

    pub(crate) fn check_host(&self, host: &str) -> Result<(), Error> {
        if host.is_empty() || host.contains(|c| self.is_not_for_hosts(c)) {
            return Err(Error::invalid(format!(
                "host name {host:?}: must not be empty, nor contain a slash, a line break, the separator {:?} or any other character that file names cannot contain",
                self.separator
            )));
        }
        Ok(())
    }

    pub(crate) fn is_not_for_hosts(&self, c: char) -> bool {
        c == '\n' || c == self.separator || NOT_IN_NAMES.contains(&c)
    }

    /// A claim by `host` for `pid`. Its name is new, since no other claim has the number `unique`.
    pub(crate) fn new_claim(
        &self,
        unique: u64,
        host: &str,
        pid: u32,
        fingerprint: Option<Fingerprint>,
        lifetime: Duration,
        is_shared: bool,
    ) -> Claim {
        let lifetime = RoundLifetime::up(lifetime);
        let nonce = nonce(fingerprint, lifetime, unique);
        let s = self.separator;
        let room = self.name.len() + 3 * s.len_utf8() + host.len() + PID_DIGITS_MOST + NONCE_DIGITS + SHARED.len();
        let mut name = OsString::with_capacity(room);
        name.push(&self.name);
        // Writing to a string does not fail.
        let _ = write!(name, "{s}{host}{s}{pid}{s}{nonce:0NONCE_DIGITS$x}");
        if is_shared {
            name.push(SHARED);
        }
        let lifetime = Some(lifetime.get());
        Claim { token: Token::of_name(name), host: host.into(), pid, fingerprint, lifetime, is_shared }
    }

    /// Parses a claim from a file name, or from the last component of a path. `None` if it is not a claim of this lock
    /// path. Ignores the directory: on another machine it may be mounted elsewhere, and that machine may run Windows.
    pub(crate) fn parse(&self, name: &[u8]) -> Option<Claim> {
        // A peer may end its content with a line break. A lock's name may begin with a space.
        let last = |separators: &[u8]| name.trim_ascii_end().rsplit(|b| separators.contains(b)).next();
        // Except on Windows, a name may contain a backslash.
        let here: &[u8] = if cfg!(windows) { b"/\\" } else { b"/" };
        last(here).and_then(|name| self.parse_name(name)).or_else(|| self.parse_name(last(b"/\\")?))
    }

    fn parse_name(&self, name: &[u8]) -> Option<Claim> {
        if name.len() > READ_MOST {
            return None;
        }
        let mut sep = [0; 4];
        let sep = self.separator.encode_utf8(&mut sep).as_bytes();
        // Parses from the end, since the break lock's own name contains a separator.
        let mut rest = name;
        let mut last = || {
            let at = rest.windows(sep.len()).rposition(|at| at == sep)?;
            let part = std::str::from_utf8(&rest[at + sep.len()..]).ok()?;
            rest = &rest[..at];
            Some(part)
        };
        let (nonce, pid, host) = (last()?, last()?, last()?);
        if !names::is_same_name(rest, bytes_of(&self.name)) {
            return None;
        }
        // Others may have written anything. A claim's name must be a valid file name.
        if host.is_empty() || host.contains(NOT_IN_NAMES) || !all_digits(pid) {
            return None;
        }
        let pid = pid.parse().ok()?;
        let (fingerprint, lifetime, is_shared) = parse_nonce(nonce)?;
        Some(Claim {
            token: Token::of_name(names::name_from_bytes(name)?),
            host: host.into(),
            pid,
            fingerprint,
            lifetime,
            is_shared,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ServerTime;

    fn lock() -> LockPath {
        LockPath::new(Path::new("/var/lock/job"), '^').unwrap()
    }

    const LIFETIME: Duration = Duration::from_secs(15);

    fn claim_of(lock: &LockPath) -> Claim {
        lock.new_claim(4711, "h", 1, None, LIFETIME, false)
    }

    #[test]
    fn a_claims_name_tells_host_pid_and_fingerprint() {
        let print = Fingerprint::new(b"boot", 77);
        let claim = lock().new_claim(7, "host.example", 4711, Some(print), LIFETIME, false);
        let parsed = lock().parse(bytes_of(claim.token.as_os_str())).unwrap();
        assert_eq!(parsed, claim);
        assert_eq!(parsed.fingerprint, Some(print));
        let lifetime = parsed.lifetime.unwrap();
        assert!(lifetime >= LIFETIME && lifetime <= LIFETIME * 17 / 16, "{lifetime:?}");
    }

    #[test]
    fn a_claim_for_no_process_has_no_fingerprint() {
        let claim = claim_of(&lock());
        assert_eq!(lock().parse(bytes_of(claim.token.as_os_str())).unwrap().fingerprint, None);
    }

    #[test]
    fn a_holder_has_a_process_unless_its_claim_says_that_it_has_none() {
        let print = Some(Fingerprint::new(b"boot", 77));
        let has_process = |claim: Claim| claim.holder(ServerTime::from_parts(1, 0), None).has_process;
        assert!(has_process(lock().new_claim(7, "h", 1, print, LIFETIME, false)));
        assert!(!has_process(claim_of(&lock())));
        assert!(has_process(lock().parse(b"job^h^12^3").unwrap()), "flufl.lock always names its process");
    }

    #[test]
    fn a_flufl_claim_is_read_wherever_its_directory_is_mounted() {
        let claim = lock().parse(b"/mnt/elsewhere/job^h.example^12^9223372036854775807\n").unwrap();
        assert_eq!((claim.host.as_str(), claim.pid, claim.fingerprint, claim.lifetime), ("h.example", 12, None, None));
        assert_eq!(claim.token, Token::new("job^h.example^12^9223372036854775807"));
    }

    /// The bug: the two systems write other paths. The consequence: each took the other's lock for an ordinary file.
    #[test]
    fn a_claim_is_read_whether_a_peer_on_windows_or_elsewhere_wrote_its_path() {
        for path in [r"Z:\shared\job^h^12^3", r"\\server\share\job^h^12^3", "/mnt/shared/job^h^12^3"] {
            let claim = lock().parse(path.as_bytes()).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((claim.token, claim.pid), (Token::new("job^h^12^3"), 12));
        }
    }

    #[cfg(not(windows))] // There a backslash stands between names.
    #[test]
    fn a_name_may_hold_a_backslash() {
        let lock = LockPath::new(Path::new(r"/var/lock/a\job"), '^').unwrap();
        let claim = claim_of(&lock);
        assert_eq!(lock.parse(bytes_of(claim.token.as_os_str())), Some(claim));
        assert_eq!(lock.parse(b"/var/lock/job^h^12^3"), None);
    }

    /// What stands in a file may be as long as its author likes.
    #[test]
    fn what_is_longer_than_any_files_name_is_no_claim() {
        let named = |len: usize| format!("/var/lock/job^{}^1^2", "h".repeat(len - "job^^1^2".len())).into_bytes();
        assert_eq!(lock().parse(&named(765)).map(|claim| claim.host.len()), Some(757));
        assert_eq!(lock().parse(&named(766)), None);
        assert_eq!(lock().parse(&[b"job^h^1^", &[b'0'; 4000][..]].concat()), None);
    }

    #[test]
    fn what_is_no_claim_of_this_path_is_refused() {
        let refused: [&[u8]; 18] = [
            b"",
            b"job",
            b"/var/lock/job",
            b"job^h^1",
            b"job^h^1^2^3",
            b"other^h^1^2",
            b"job^^1^2",
            b"job^h^x^2",
            b"job^h^1^+2",
            b"job^h^1^9223372036854775808",
            b"job^h^1^",
            b"job^h^1^abc",
            b"job^h^1^2s",
            b"job^h^1^0123456789ABCDEF0123456789abcdef",
            b"job^h^1^+123456789abcdef0123456789abcdef",
            b"job^h^4294967296^1",
            b"job^h^1^2/x",
            b"job^h\0x^1^2",
        ];
        for name in refused {
            assert_eq!(lock().parse(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_separator_that_confuses_is_refused() {
        assert!(LockPath::new(Path::new("/var/a^b/job"), '^').is_err());
        assert!(LockPath::new(Path::new("/var/a^b/job"), '~').is_ok());
        assert_eq!(LockPath::new(Path::new("/var/job"), '|').is_err(), cfg!(windows), "no name there holds a |");
        for bad in ['/', '\\', '7', 'x', '\n', '.', '\0'] {
            assert!(LockPath::new(Path::new("/var/job"), bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_without_a_files_name_is_refused() {
        for bad in ["", "/", "/var/..", "a\0b"] {
            assert!(LockPath::new(Path::new(bad), '^').is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_slot_is_known_by_its_name() {
        let at = |name: &str| LockPath::new(&Path::new("/var/lock").join(name), '^');
        let base = |name: &str| at(name).unwrap().without_slot().map(|base| base.as_path().to_owned());
        assert_eq!(base("job.1").as_deref(), Some(at("job").unwrap().as_path()));
        assert_eq!(base("job.lock.256").as_deref(), Some(at("job.lock").unwrap().as_path()));
        for name in ["job", "job.0", "job.257", "job.01", "job.+1", "job.x", ".1", "1"] {
            assert_eq!(base(name), None, "{name}");
        }
        // Windows has no names that end with a dot.
        assert!(cfg!(windows) || base("job.").is_none());
        assert_eq!(
            lock().of_slot(7).without_slot().map(|base| base.as_path().to_owned()).as_deref(),
            Some(lock().as_path())
        );
    }

    /// The bug: the path in the content was trimmed at both ends, and so was the token. The consequence: a lock whose name
    /// begins with a blank could not be released by its own token.
    #[test]
    fn a_name_may_begin_with_a_blank() {
        let lock = LockPath::new(Path::new("/var/lock/ job"), '^').unwrap();
        let claim = claim_of(&lock);
        assert_eq!(lock.parse(bytes_of(claim.token.as_os_str())), Some(claim));
    }

    #[test]
    fn a_name_that_leaves_no_room_for_what_a_contender_must_make_is_refused_and_no_other() {
        let host = "h".repeat(64);
        let check = |len: usize, queue, shared| {
            let path = Path::new("/var/lock").join("n".repeat(len));
            LockPath::new(&path, '^').unwrap().check_room(&host, queue, shared)
        };
        for (queue, shared, most) in [(false, false, 140), (false, true, 140), (true, false, 121), (true, true, 120)] {
            assert!(check(most, queue, shared).is_ok());
            let refused = check(most + 1, queue, shared).unwrap_err().to_string();
            assert!(refused.contains(&format!("it may have {most},")), "{refused}");
        }
        assert!(check(250, false, false).is_err());
    }

    /// The bug, found by the simulation: two claims of one lifetime that were made within one tick of the server's clock had one
    /// expiry, and the second the inode number of the first. The consequence: a holder that had been broken took the other's lock
    /// for its own, and removed it. The mend: each has a mark.
    #[test]
    fn claims_have_marks_of_their_own() {
        let mark = |unique| lock().new_claim(unique, "h", 1, None, LIFETIME, false).mark();
        let marks: std::collections::HashSet<_> = (0..1000).map(mark).collect();
        assert!(marks.len() > 990 && marks.iter().all(|mark| *mark < Duration::from_millis(9)), "{}", marks.len());
    }
}
