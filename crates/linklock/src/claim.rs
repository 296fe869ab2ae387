//! A claim, as its name tells it.
//!
//! A claim is named `LOCKPATH|HOST|PID|NONCE`, as flufl.lock names it. flufl.lock's nonce is a decimal number below 2^63, of
//! 19 digits at most, which it never reads again. Ours has 32 hexadecimal digits, so a peer's random number is never taken for
//! a fingerprint. Its bits, from the top: 32 of a hash of the machine's boot and the process's namespaces (0: no process is
//! known), 22 of a hash of the process's start time, 10 of the lock's lifetime, 64 that no other claim has.

use std::time::Duration;

use crate::fingerprint::{Fingerprint, fnv1a};
use crate::holder::{About, Holder};
use crate::lifetime::RoundLifetime;
use crate::names::bytes_of;
use crate::time::ServerTime;
use crate::token::Token;

const UNIQUE_BITS: u32 = 64;
pub(crate) const NONCE_DIGITS: usize = 32;
pub(crate) const PID_DIGITS_MOST: usize = 10;

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
        Duration::from_nanos(fnv1a(bytes_of(self.token.as_os_str())) & MASK)
    }

    /// What others are told of its holder, if it holds the lock.
    pub(crate) fn holder(&self, expiry: ServerTime, about: Option<About>) -> Holder {
        let expires_at = expiry.to_system_time();
        Holder { host: self.host.clone(), pid: self.pid, token: self.token.clone(), expires_at, about }
    }
}

/// The nonce of a new claim. Its 64 `unique` bits count on from a random start of this process. So two processes that claim for
/// the same third one use a name twice only if their ranges overlap: n of them that make k claims each, with a probability of
/// about n² k / 2^64.
pub(crate) fn nonce(fingerprint: Option<Fingerprint>, lifetime: RoundLifetime, unique: u64) -> u128 {
    let process = u128::from(fingerprint.map_or(0, Fingerprint::to_bits));
    (process << RoundLifetime::BITS | u128::from(lifetime.to_bits())) << UNIQUE_BITS | u128::from(unique)
}

/// What a nonce says of the process and the lifetime, which a peer's does not; `None` if it is none.
pub(crate) fn parse_nonce(nonce: &str) -> Option<(Option<Fingerprint>, Option<Duration>)> {
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

/// Whether it is a number and nothing else.
pub(crate) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
