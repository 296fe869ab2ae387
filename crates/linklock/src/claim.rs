//! A claim, parsed from its name.
//!
//! A claim is named `LOCKPATH|HOST|PID|NONCE`, as flufl.lock names it. flufl.lock's nonce is a decimal number below
//! 2^63, with at most 19 digits, and flufl.lock never parses it. Ours has 32 hexadecimal digits, so that a peer's
//! random number is never taken for a fingerprint. Its bits, from the top: 32 of a hash of the machine's boot and the
//! process's namespaces (0: not bound to a process), 22 of a hash of the process's start time, 10 of the lock's
//! lifetime, 64 unique bits. A claim to a shared lock has an `s` after them, so that a listing tells readers from others.

use std::time::Duration;

use crate::fingerprint::{Fingerprint, fnv1a};
use crate::holder::{About, Holder};
use crate::lifetime::RoundLifetime;
use crate::names::bytes_of;
use crate::time::ServerTime;
use crate::token::Token;

const UNIQUE_BITS: u32 = 64;
pub(crate) const NONCE_DIGITS: usize = 32;
/// What ends the nonce of a claim to a shared lock.
pub(crate) const SHARED: &str = "s";
pub(crate) const PID_DIGITS_MOST: usize = 10;

/// A claim, parsed from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) token: Token,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// `None`: made by a peer that writes none, or not bound to a process.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// How long the lock lasts without a refresh, rounded up. `None`: made by a peer that does not say.
    pub(crate) lifetime: Option<Duration>,
    /// Whether it claims a shared lock.
    pub(crate) is_shared: bool,
}

impl Claim {
    /// Added to its expiries, so that they differ from those of other claims: up to 8 ms, a hash of its unique name.
    pub(crate) fn mark(&self) -> Duration {
        const MASK: u64 = (1 << 23) - 1;
        Duration::from_nanos(fnv1a(bytes_of(self.token.as_os_str())) & MASK)
    }

    /// The same claim, to a shared lock. No other claim has its name: the number in it is this claim's.
    pub(crate) fn to_be_shared(&self) -> Self {
        let mut name = self.token.as_os_str().to_owned();
        name.push(SHARED);
        Self { token: Token::of_name(name), is_shared: true, ..self.clone() }
    }

    /// Whether flufl.lock made it, whose names say no more than the process.
    fn is_peers(&self) -> bool {
        self.lifetime.is_none()
    }

    /// The holder that others see, if this claim holds the lock.
    pub(crate) fn holder(&self, expiry: ServerTime, about: Option<About>) -> Holder {
        let expires_at = expiry.to_system_time();
        let has_process = self.fingerprint.is_some() || self.is_peers();
        Holder { host: self.host.clone(), pid: self.pid, has_process, token: self.token.clone(), expires_at, about }
    }
}

/// The nonce of a new claim. Of its 64 `unique` bits, 32 are random and 32 count up from a random start of this
/// process. So claims of one process do not collide before 2^32 of them. If n processes claim on behalf of one process,
/// k times each, two claims collide with a probability of about n² k² / 2^64.
pub(crate) fn nonce(fingerprint: Option<Fingerprint>, lifetime: RoundLifetime, unique: u64) -> u128 {
    let process = u128::from(fingerprint.map_or(0, Fingerprint::to_bits));
    (process << RoundLifetime::BITS | u128::from(lifetime.to_bits())) << UNIQUE_BITS | u128::from(unique)
}

/// The process and the lifetime in a nonce, and whether the lock is a shared one; a peer's nonce says none of it. `None` if it is
/// not a nonce.
pub(crate) fn parse_nonce(nonce: &str) -> Option<(Option<Fingerprint>, Option<Duration>, bool)> {
    let (nonce, is_shared) = match nonce.strip_suffix(SHARED) {
        Some(rest) if rest.len() == NONCE_DIGITS => (rest, true),
        _ => (nonce, false),
    };
    if nonce.len() != NONCE_DIGITS {
        return (all_digits(nonce) && nonce.parse::<u64>().ok()? < 1 << 63).then_some((None, None, false));
    }
    if !nonce.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let bits = u128::from_str_radix(nonce, 16).ok()? >> UNIQUE_BITS;
    let lifetime = RoundLifetime::from_bits(bits as u16).get();
    Some((Fingerprint::from_bits((bits >> RoundLifetime::BITS) as u64), Some(lifetime), is_shared))
}

/// Whether it is a decimal number without a sign.
pub(crate) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
