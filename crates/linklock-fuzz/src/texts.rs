//! The parsers of names, entries, datagrams, durations and other short texts. The first byte of an input says which one gets the rest.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::Unstructured;

use crate::claim::Claim;
use crate::fingerprint::Fingerprint;
use crate::hint::{Ear, nonce_of};
use crate::holder::About;
use crate::lifetime::{LIFETIME_MOST, RoundLifetime};
use crate::lock_path::LockPath;
use crate::names::{before, bytes_of, position};
use crate::options::{Protocol, Wake};
use crate::printable::Printable;
use crate::shown::assert_harmless;
use crate::time::ServerTime;
use crate::token::Token;
use crate::{c_text, duration};

const PARSERS: [fn(&[u8]); 10] =
    [claim, new_claim, lock_path, token, listening, entry, duration, printable, settings, text_of_c];

pub(crate) fn fuzz(data: &[u8]) {
    if let Some((which, rest)) = data.split_first() {
        PARSERS[usize::from(*which) % PARSERS.len()](rest);
    }
}

/// Lock paths with all that may be special in a name.
static LOCKS: LazyLock<Vec<LockPath>> = LazyLock::new(|| {
    let all = [("/srv/job.lock", '|'), ("/srv/ a job", '^'), ("/srv/a\\job", '|'), ("/srv/jöb", '§'), ("/job\n", '🔒')];
    let locks = all.map(|(path, separator)| LockPath::new(Path::new(path), separator).expect("it is valid"));
    locks.iter().flat_map(|lock| [lock.clone(), lock.of_break_lock(), lock.of_slot(2)]).collect()
});

/// A claim that was read is read again from its own name, and is a claim of one lock alone.
fn claim(text: &[u8]) {
    let mut of = Vec::new();
    for lock in LOCKS.iter() {
        let Some(claim) = lock.parse(text) else { continue };
        let name = bytes_of(claim.token.as_os_str());
        assert!(!name.contains(&b'/') && !name.contains(&0) && !claim.host.is_empty(), "{claim:?} is no name");
        assert!(text.ends_with(name) || text.trim_ascii_end().ends_with(name), "{claim:?} is not what was read");
        assert_eq!(lock.parse(name).as_ref(), Some(&claim));
        assert_harmless(&claim.token.to_string(), false);
        assert_harmless(&claim.holder(ServerTime::from_nanos(i64::MAX), None).to_string(), false);
        assert!(claim.mark() < Duration::from_millis(9) && claim.lifetime.is_none_or(|time| time > Duration::ZERO));
        of.push(lock);
    }
    assert!(of.len() <= 1, "{text:?} is a claim of {of:?}");
}

/// Whatever a contender calls itself, others read its claim as it made it.
fn new_claim(data: &[u8]) {
    let mut draw = Unstructured::new(data);
    let mut make = || -> arbitrary::Result<()> {
        let lock = draw.choose(&LOCKS)?;
        let (unique, pid, bits) = (draw.arbitrary()?, draw.arbitrary()?, draw.arbitrary()?);
        let (lifetime, is_shared) = (Duration::from_millis(draw.arbitrary()?), draw.arbitrary()?);
        let host = String::from_utf8_lossy(draw.bytes(draw.len())?);
        if lock.check_host(&host).is_err() || lock.check_room(&host, false, true).is_err() {
            return Ok(());
        }
        let claim = lock.new_claim(unique, &host, pid, Fingerprint::from_bits(bits), lifetime, is_shared);
        assert_eq!(lock.parse(bytes_of(claim.token.as_os_str())).as_ref(), Some(&claim));
        assert!(claim.lifetime >= Some(lifetime.min(LIFETIME_MOST)), "{claim:?} ends before {lifetime:?}");
        let names_it = |text: &[u8]| lock.parse(&[text, bytes_of(claim.token.as_os_str()), b"\n"].concat());
        assert_eq!([names_it(b"/srv/"), names_it(b"Z:\\srv/")], [Some(claim.clone()), Some(claim.clone())]);
        if !is_shared {
            let reader: Claim = claim.to_be_shared();
            assert_eq!(lock.parse(bytes_of(reader.token.as_os_str())), Some(reader));
        }
        Ok(())
    };
    // An input that is too short makes no claim.
    let _ = make();
}

/// The first byte is the separator.
fn lock_path(data: &[u8]) {
    let Some((separator, path)) = data.split_first() else { return };
    let separator = char::from(*separator);
    match LockPath::new(Path::new(OsStr::from_bytes(path)), separator) {
        Ok(lock) => {
            assert!(lock.as_path().is_absolute() && position(bytes_of(lock.as_path()), separator).is_none());
            for beside in [lock.bell(), lock.fence(), lock.queue(), lock.of_break_lock().location().clone()] {
                let name = beside.as_path().file_name().expect("it has a name");
                assert_eq!(before(name, separator).as_deref(), lock.as_path().file_name());
                assert_eq!(lock.parse(bytes_of(name)), None, "{name:?} is a claim");
            }
        }
        Err(e) => assert_harmless(&e.to_string(), false),
    }
}

fn token(data: &[u8]) {
    let token = Token::new(OsStr::from_bytes(data));
    assert_harmless(&token.to_string(), false);
    assert_eq!(Token::new(token.as_os_str()), token);
}

/// Where a waiter listens, and the datagram that comes there.
fn listening(data: &[u8]) {
    if let Some(nonce) = nonce_of(data) {
        assert_eq!(Ear::new(([192, 0, 2, 7], 4000).into(), nonce).packet(), data);
    }
    let Some(ear) = std::str::from_utf8(data).ok().and_then(Ear::parse) else { return };
    assert_eq!(Ear::parse(&ear.to_string()), Some(ear));
    if let Some(address) = ear.address() {
        let ip = address.ip();
        assert!(address.port() >= 1024 && !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified(), "{address}");
        assert!(ip.to_canonical() == ip, "{address} is another");
    }
}

/// The entry of a `dir` lock: what is written again is read as the same.
fn entry(data: &[u8]) {
    let Some(about) = About::from_json(data) else { return };
    let is_short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.chars().count() <= 200);
    assert!(is_short(&about.command) && is_short(&about.user) && about.lifetime <= LIFETIME_MOST, "{about:?}");
    assert_eq!(About::from_json(about.to_json().as_bytes()), Some(about));
}

/// 200,000 years.
const EXACT: Duration = Duration::from_secs(200_000 * 365 * 24 * 3600);

/// What the program prints of a duration may be typed, and is then printed as before.
fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match duration::parse(text) {
        Ok(time) => {
            let printed = duration::short(time);
            let typed = duration::parse(&printed).expect("what is printed may be typed");
            // Beyond, the numbers are rounded.
            assert!(time > EXACT || duration::short(typed) == printed, "{text:?}: {printed}, and then {typed:?}");
            let round = RoundLifetime::up(time);
            assert!(round.get() >= time.min(LIFETIME_MOST) && RoundLifetime::from_bits(round.to_bits()) == round);
        }
        Err(e) => assert_harmless(&e, false),
    }
}

fn printable(data: &[u8]) {
    let text = OsStr::from_bytes(data);
    let shown = Printable::new(text).to_string();
    assert_harmless(&shown, false);
    assert_eq!(Printable::new(&shown).to_string(), shown, "printed twice");
    assert_eq!(format!("{:<3000}", Printable::new(text)).trim_end(), shown.trim_end());
    let lossy = text.to_string_lossy();
    assert_harmless(&Printable::new(&Printable::word(&lossy).to_string()).to_string(), false);
}

fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Protocol>() {
        Ok(protocol) => assert_eq!(protocol.to_string(), text),
        Err(e) => assert_harmless(&e.to_string(), false),
    }
    match text.parse::<Wake>() {
        Ok(wake) => assert_eq!(wake.to_string(), text),
        Err(e) => assert_harmless(&e.to_string(), false),
    }
}

/// The C library's texts.
fn text_of_c(data: &[u8]) {
    let until_nul = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = CString::new(until_nul).expect("without a NUL");
    let name = c_text::os_text(&text, "name").expect("any bytes are a name");
    assert_eq!(c_text::c_text(name), text);
    match c_text::utf8(&text, "name") {
        Ok(text) => {
            filled::<1>(text);
            filled::<2>(text);
            filled::<64>(text);
        }
        Err(e) => assert!(std::str::from_utf8(until_nul).is_err() && !e.is_empty()),
    }
}

fn filled<const SIZE: usize>(text: &str) {
    let bytes = c_text::filled::<SIZE>(text).map(|c| c as u8);
    let filled = CStr::from_bytes_until_nul(&bytes).expect("it ends").to_str().expect("it is cut between characters");
    assert!(
        text.starts_with(filled)
            && (filled.len() == text.len() || text.len() - filled.len() > text.len().saturating_sub(SIZE))
    );
}
