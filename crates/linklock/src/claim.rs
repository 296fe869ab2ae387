//! Identity: the names that a claim makes, how they are parsed, and the fingerprint of a process in a nonce.
//!
//! A claim is named `LOCKPATH|HOST|PID|NONCE`, as flufl.lock names it. flufl.lock's nonce is a decimal number below 2^63, of
//! 19 digits at most, which it never reads again. Ours has 32 hexadecimal digits, so a peer's random number is never taken for
//! a fingerprint. Its bits, from the top: 32 of a hash of the machine's boot and the process's namespaces (0: no process is
//! known), 22 of a hash of the process's start time, 10 of the lock's lifetime, 64 that no other claim has.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::{Env, Location, os};
use crate::error::Error;
use crate::lease::RoundLifetime;
use crate::printable::Printable;

const UNIQUE_BITS: u32 = 64;
const START_BITS: u32 = 22;
const BOOT_BITS: u32 = 32;
const NONCE_DIGITS: usize = 32;
const PID_DIGITS_MOST: usize = 10;
/// The digits of the time that stands before a claim's name in that of its ticket: as many as 64 bits have.
pub(crate) const TICKET_DIGITS: usize = 20;
const GUARD: &str = "break";
const FENCE: &str = "fence";
const QUEUE: &str = "queue";
/// How long a name may be on the file systems that there are, in bytes (NAME_MAX).
const NAME_MOST: usize = 255;
/// As many bytes as a name of Windows can have, which counts in UTF-16. What claims to be a longer one is no name of a file.
const READ_MOST: usize = 3 * NAME_MOST;

/// What tells a process from every other that has or had its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of the machine's boot and of the namespaces in which pid and start time mean something. Never 0.
    boot: u32,
    start: u32,
}

impl Fingerprint {
    /// From whatever identifies the boot with its namespaces, and the process's start.
    pub(crate) fn new(boot: &[u8], start: u64) -> Self {
        let boot = fnv1a(boot);
        let folded = (boot ^ (boot >> BOOT_BITS)) as u32;
        Self { boot: folded.max(1), start: 0 }.with_start(start)
    }

    /// That of another process in the same boot and namespaces.
    pub(crate) fn with_start(self, start: u64) -> Self {
        let start = fnv1a(&start.to_le_bytes());
        let folded = (start ^ (start >> START_BITS) ^ (start >> (2 * START_BITS))) as u32;
        Self { boot: self.boot, start: folded & ((1 << START_BITS) - 1) }
    }

    /// In 54 bits; never 0.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.boot) << START_BITS | u64::from(self.start)
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        let boot = (bits >> START_BITS) as u32;
        (boot != 0).then_some(Self { boot, start: bits as u32 & ((1 << START_BITS) - 1) })
    }

    /// Whether both were taken in the same boot and namespaces: only then do pids and start times compare.
    pub(crate) fn comparable(self, other: Self) -> bool {
        self.boot == other.boot
    }
}

/// FNV-1a, 64 bits: the hash is written to disk, so it must be the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name of a claim, as it stands in the lock's directory: `LOCK|HOST|PID|NONCE`. Whoever has it can refresh or
/// release the lock that the claim holds; no name is ever used for a second claim.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(OsString);

impl Token {
    /// From a text that was a token before, or from a claim's path. Whether it names a claim of some lock, only that lock
    /// can tell.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        Self(Path::new(name).file_name().unwrap_or(name).to_owned())
    }

    /// The name itself, as it is on disk: what is printed for another process to use. For people there is `Display`.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Display for Token {
    /// For people, as [`Printable`] shows a name: use [`as_os_str`](Self::as_os_str) to keep what is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.0).fmt(f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.0)
    }
}

/// A claim, as its name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) token: Token,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// `None`: made by a peer that writes none, or for no process in particular.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// How long the lock lasts without a refresh, rounded up; `None`: made by a peer that does not say.
    pub(crate) lifetime: Option<Duration>,
}

impl Claim {
    /// What its expiries have beyond those of other claims: up to 8 ms, by its unique name.
    pub(crate) fn mark(&self) -> Duration {
        const MASK: u64 = (1 << 23) - 1;
        Duration::from_nanos(fnv1a(os::bytes_of(&self.token.0)) & MASK)
    }
}

/// A lock path, made absolute, and the names that may stand beside it.
#[derive(Clone, Debug)]
pub(crate) struct LockPath {
    location: Location,
    dir: PathBuf,
    name: OsString,
    separator: char,
    /// Whether it is the breakers' guard of another.
    pub(crate) is_guard: bool,
}

impl LockPath {
    /// Absolute from here on: a later chdir changes nothing.
    pub(crate) fn new(path: &Path, separator: char) -> Result<Self, Error> {
        let invalid = |why: &str| Error::invalid(format!("lock path {}: {why}", Printable::new(path)));
        if separator.is_alphanumeric() || separator.is_control() || "/\\.".contains(separator) {
            return Err(Error::invalid(format!(
                "separator {separator:?}: must be a printable character, no letter, digit, / \\ or ."
            )));
        }
        if os::NOT_IN_NAMES.contains(&separator) {
            return Err(Error::invalid(format!("separator {separator:?}: no file's name may hold it on this system")));
        }
        // As it was given: to make it absolute may change a name that cannot be.
        if let Some(flaw) = os::flaw_of(path) {
            return Err(invalid(&flaw));
        }
        let absolute = std::path::absolute(path).map_err(|e| invalid(&e.to_string()))?;
        if contains(bytes_of(&absolute), separator) {
            return Err(invalid(&format!(
                "holds the separator {separator:?}, so the names beside it could not be told apart; choose another path or another separator"
            )));
        }
        match (absolute.parent(), absolute.file_name()) {
            (Some(dir), Some(name)) => {
                let location = Location::beside(dir, name);
                Ok(Self { location, dir: dir.into(), name: name.into(), separator, is_guard: false })
            }
            _ => Err(invalid("does not end in a file's name")),
        }
    }

    /// The path of the guard by which breakers take turns.
    pub(crate) fn breakers_guard(&self) -> Self {
        let name = self.name_for(GUARD);
        Self { location: Location::beside(&self.dir, &name), name, is_guard: true, ..self.clone() }
    }

    /// The directory that fencing tokens are counted in.
    pub(crate) fn fence(&self) -> Location {
        Location::beside(&self.dir, &self.name_for(FENCE))
    }

    /// The directory that contenders queue up in.
    pub(crate) fn queue(&self) -> Location {
        Location::beside(&self.dir, &self.name_for(QUEUE))
    }

    fn name_for(&self, use_of_it: &str) -> OsString {
        let mut name = self.name.clone();
        name.push(self.separator.encode_utf8(&mut [0; 4]));
        name.push(use_of_it);
        name
    }

    /// Checks that every name fits that a contender of this host may have to make: that of its claim, of the guard's and,
    /// in a queue, of its ticket. A lock that can be taken and not be broken or waited for would be no good.
    pub(crate) fn check_room(&self, host: &str, queue: bool) -> Result<(), Error> {
        let s = self.separator.len_utf8();
        let claim = self.name.len() + 3 * s + host.len() + PID_DIGITS_MOST + NONCE_DIGITS;
        let longest = claim + if queue { TICKET_DIGITS } else { s + GUARD.len() };
        if longest <= NAME_MOST {
            return Ok(());
        }
        let most = self.name.len().saturating_sub(longest - NAME_MOST);
        Err(Error::invalid(format!(
            "lock path {}: its name has {} bytes; with the host name {host:?} it may have {most}, so that the names beside it fit into {NAME_MOST}",
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

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a claim, or anything else with a token's name, stands.
    pub(crate) fn beside(&self, token: &Token) -> Location {
        Location::beside(&self.dir, &token.0)
    }

    pub(crate) fn check_host(&self, host: &str) -> Result<(), Error> {
        if host.is_empty() || host.contains(|c| self.is_not_for_hosts(c)) {
            return Err(Error::invalid(format!(
                "host name {host:?}: must not be empty, nor hold a slash, a line's end, the separator {:?} or what else no file's name may hold",
                self.separator
            )));
        }
        Ok(())
    }

    pub(crate) fn is_not_for_hosts(&self, c: char) -> bool {
        c == '\n' || c == self.separator || os::NOT_IN_NAMES.contains(&c)
    }

    /// A claim by `host` for `pid`, under a name that was never used before. Its 64 unique bits count on from a random start of
    /// this process. So two processes that claim for the same third one use a name twice only if their ranges overlap: n of
    /// them that make k claims each, with a probability of about n² k / 2^64.
    pub(crate) fn new_claim(
        &self,
        env: &dyn Env,
        host: &str,
        pid: u32,
        fingerprint: Option<Fingerprint>,
        lifetime: Duration,
    ) -> Claim {
        let lifetime = RoundLifetime::up(lifetime);
        let process = u128::from(fingerprint.map_or(0, Fingerprint::to_bits));
        let nonce =
            (process << RoundLifetime::BITS | u128::from(lifetime.to_bits())) << UNIQUE_BITS | u128::from(env.unique());
        let s = self.separator;
        let room = self.name.len() + 3 * s.len_utf8() + host.len() + PID_DIGITS_MOST + NONCE_DIGITS;
        let mut name = OsString::with_capacity(room);
        name.push(&self.name);
        // To write to a string does not fail.
        let _ = write!(name, "{s}{host}{s}{pid}{s}{nonce:0NONCE_DIGITS$x}");
        Claim { token: Token(name), host: host.into(), pid, fingerprint, lifetime: Some(lifetime.get()) }
    }

    /// The claim that is named by a file's name, or by the last component of a path; `None` if it is no claim of this
    /// lock path. The directory is not compared: it may be mounted elsewhere on another machine, and that may run Windows.
    pub(crate) fn parse(&self, name: &[u8]) -> Option<Claim> {
        // A peer may end its content with a line's end. A lock's name may begin with a blank.
        let last = |separators: &[u8]| name.trim_ascii_end().rsplit(|b| separators.contains(b)).next();
        // Elsewhere than on Windows, a name may hold a backslash.
        let here: &[u8] = if cfg!(windows) { b"/\\" } else { b"/" };
        last(here).and_then(|name| self.parse_name(name)).or_else(|| self.parse_name(last(b"/\\")?))
    }

    fn parse_name(&self, name: &[u8]) -> Option<Claim> {
        if name.len() > READ_MOST {
            return None;
        }
        let mut sep = [0; 4];
        let sep = self.separator.encode_utf8(&mut sep).as_bytes();
        // From the end: the guard's own name holds a separator.
        let mut rest = name;
        let mut last = || {
            let at = rest.windows(sep.len()).rposition(|at| at == sep)?;
            let part = std::str::from_utf8(&rest[at + sep.len()..]).ok()?;
            rest = &rest[..at];
            Some(part)
        };
        let (nonce, pid, host) = (last()?, last()?, last()?);
        if !os::is_same_name(rest, bytes_of(self.name.as_ref())) {
            return None;
        }
        // Whatever others have written, a claim's name is one that a file can have.
        if host.is_empty() || host.contains(os::NOT_IN_NAMES) || !all_digits(pid) {
            return None;
        }
        let pid = pid.parse().ok()?;
        let (fingerprint, lifetime) = parse_nonce(nonce)?;
        Some(Claim { token: Token(os::name_from_bytes(name)?), host: host.into(), pid, fingerprint, lifetime })
    }
}

/// What a nonce says of the process and the lifetime, which a peer's does not; `None` if it is none.
fn parse_nonce(nonce: &str) -> Option<(Option<Fingerprint>, Option<Duration>)> {
    if nonce.len() != NONCE_DIGITS {
        return (all_digits(nonce) && nonce.parse::<u64>().ok()? < 1 << 63).then_some((None, None));
    }
    if !nonce.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let bits = u128::from_str_radix(nonce, 16).ok()? >> UNIQUE_BITS;
    let lifetime = RoundLifetime::from_bits(bits as u16).get();
    Some((Fingerprint::from_bits((bits >> RoundLifetime::BITS) as u64), Some(lifetime)))
}

/// What stands in a name before the first separator.
pub(crate) fn before(name: &OsStr, separator: char) -> Option<OsString> {
    let (bytes, mut buffer) = (os::bytes_of(name), [0; 4]);
    let sep = separator.encode_utf8(&mut buffer).as_bytes();
    let at = bytes.windows(sep.len()).position(|at| at == sep)?;
    os::name_from_bytes(&bytes[..at])
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn contains(bytes: &[u8], c: char) -> bool {
    let mut buffer = [0; 4];
    let c = c.encode_utf8(&mut buffer).as_bytes();
    bytes.windows(c.len()).any(|w| w == c)
}

/// The bytes that a path has on disk, and in a claim's content.
pub(crate) fn bytes_of(path: &Path) -> &[u8] {
    os::bytes_of(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::os::OsEnv;

    fn lock() -> LockPath {
        LockPath::new(Path::new("/var/lock/job"), '^').unwrap()
    }

    const LIFETIME: Duration = Duration::from_secs(15);

    #[test]
    fn a_claims_name_tells_host_pid_and_fingerprint() {
        let print = Fingerprint::new(b"boot", 77);
        let claim = lock().new_claim(&OsEnv, "host.example", 4711, Some(print), LIFETIME);
        let parsed = lock().parse(os::bytes_of(claim.token.as_os_str())).unwrap();
        assert_eq!(parsed, claim);
        assert_eq!(parsed.fingerprint, Some(print));
        let lifetime = parsed.lifetime.unwrap();
        assert!(lifetime >= LIFETIME && lifetime <= LIFETIME * 17 / 16, "{lifetime:?}");
    }

    #[test]
    fn a_claim_for_no_process_has_no_fingerprint() {
        let claim = lock().new_claim(&OsEnv, "h", 1, None, LIFETIME);
        assert_eq!(lock().parse(os::bytes_of(claim.token.as_os_str())).unwrap().fingerprint, None);
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
        let claim = lock.new_claim(&OsEnv, "h", 1, None, LIFETIME);
        assert_eq!(lock.parse(os::bytes_of(claim.token.as_os_str())), Some(claim));
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

    /// Two holders are at stake: pids mean nothing to a peer in another world, of which Wine beside Linux is one.
    #[cfg(any(target_os = "linux", windows))] // Elsewhere no process is known.
    #[test]
    fn a_fingerprint_from_another_world_tells_nothing_of_a_process() {
        use crate::env::Liveness;
        let here = OsEnv.fingerprint(OsEnv.process_id()).unwrap();
        assert_eq!(OsEnv.liveness(OsEnv.process_id(), here), Liveness::Alive);
        let elsewhere = Fingerprint::new(b"another boot", 77);
        for pid in [OsEnv.process_id(), 4_000_000] {
            assert_eq!(OsEnv.liveness(pid, elsewhere), Liveness::Unknown, "process {pid}");
            assert_eq!(OsEnv.liveness(pid, here.with_start(77)), Liveness::Dead, "process {pid}, another start");
        }
    }

    #[test]
    fn what_is_no_claim_of_this_path_is_refused() {
        let refused: [&[u8]; 17] = [
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

    /// The bug: the path in the content was trimmed at both ends, and so was the token. The consequence: a lock whose name
    /// begins with a blank could not be released by its own token.
    #[test]
    fn a_name_may_begin_with_a_blank() {
        let lock = LockPath::new(Path::new("/var/lock/ job"), '^').unwrap();
        let claim = lock.new_claim(&OsEnv, "h", 1, None, LIFETIME);
        assert_eq!(lock.parse(os::bytes_of(claim.token.as_os_str())), Some(claim));
    }

    #[test]
    fn a_name_that_leaves_no_room_for_what_a_contender_must_make_is_refused_and_no_other() {
        let host = "h".repeat(64);
        let check = |len: usize, queue| {
            let path = Path::new("/var/lock").join("n".repeat(len));
            LockPath::new(&path, '^').unwrap().check_room(&host, queue)
        };
        for (queue, most) in [(false, 140), (true, 126)] {
            assert!(check(most, queue).is_ok());
            let refused = check(most + 1, queue).unwrap_err().to_string();
            assert!(refused.contains(&format!("it may have {most},")), "{refused}");
        }
        assert!(check(250, false).is_err());
    }

    /// The bug, found by the simulation: two claims of one lifetime that were made within one tick of the server's clock had one
    /// expiry, and the second the inode number of the first. The consequence: a holder that had been broken took the other's lock
    /// for its own, and removed it. The mend: each has a mark.
    #[test]
    fn claims_have_marks_of_their_own() {
        let mark = |_| lock().new_claim(&OsEnv, "h", 1, None, LIFETIME).mark();
        let marks: std::collections::HashSet<_> = (0..1000).map(mark).collect();
        assert!(marks.len() > 990 && marks.iter().all(|mark| *mark < Duration::from_millis(9)), "{}", marks.len());
    }

    #[test]
    fn names_do_not_repeat() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(lock().new_claim(&OsEnv, "h", 1, None, LIFETIME).token));
        }
    }
}
