//! Where a waiter listens for hints, as it tells others on disk, and the hint itself: a datagram that says "look".

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a hint begins with, so that no other program takes it for its own.
const MAGIC: &[u8; 8] = b"linklock";

/// How long a hint is, in bytes.
pub(crate) const PACKET: usize = MAGIC.len() + 8;

/// The least port that a hint is sent to. Those below belong to services.
const PORT_LEAST: u16 = 1024;

/// Where a waiter listens, and the number by which it knows a hint that is for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ear {
    address: SocketAddr,
    pub(crate) nonce: u64,
}

impl Ear {
    pub(crate) fn new(address: SocketAddr, nonce: u64) -> Self {
        Self { address, nonce }
    }

    /// What others wrote. `None` if it is nothing of the kind.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, nonce) = text.split_once('/')?;
        let is_nonce = nonce.len() == 16 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Self::new(address.parse().ok()?, u64::from_str_radix(nonce, 16).ok().filter(|_| is_nonce)?))
    }

    /// Where to send the hint. `None` where nobody may be sent anything: whoever can write to the lock's directory chooses the
    /// address, so it must be a single host's, on the network, and no port of a service. RFC 6890 has the special addresses.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let ip = self.address.ip().to_canonical();
        let is_special = match ip {
            IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4.octets()[0] == 0,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let is_fine = !is_special && !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified();
        (is_fine && self.address.port() >= PORT_LEAST).then_some(SocketAddr::new(ip, self.address.port()))
    }

    pub(crate) fn packet(&self) -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[..MAGIC.len()].copy_from_slice(MAGIC);
        packet[MAGIC.len()..].copy_from_slice(&self.nonce.to_be_bytes());
        packet
    }
}

impl fmt::Display for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.address, self.nonce)
    }
}

/// The number in a hint. `None` if it is none.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing listens elsewhere"))]
pub(crate) fn nonce_of(packet: &[u8]) -> Option<u64> {
    let nonce = packet.strip_prefix(MAGIC)?;
    Some(u64::from_be_bytes(nonce.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for address in ["192.0.2.7:40000", "[2001:db8::7]:1024"] {
            let ear = Ear::new(address.parse().unwrap(), 0xabc);
            assert_eq!(Ear::parse(&ear.to_string()), Some(ear));
            assert_eq!(ear.address(), Some(address.parse().unwrap()));
            assert_eq!(nonce_of(&ear.packet()), Some(0xabc));
        }
    }

    #[test]
    fn nothing_is_sent_to_many_to_this_machine_or_to_a_service() {
        let special = [
            "255.255.255.255:4000",
            "224.0.0.1:4000",
            "127.0.0.1:4000",
            "0.0.0.0:4000",
            "0.1.2.3:4000",
            "169.254.1.1:4000",
            "192.0.2.7:1023",
            "192.0.2.7:0",
            "[::1]:4000",
            "[::]:4000",
            "[ff02::1]:4000",
            "[fe80::1]:4000",
            "[::ffff:127.0.0.1]:4000",
            "[::ffff:224.0.0.1]:4000",
        ];
        for address in special {
            assert_eq!(Ear::new(address.parse().unwrap(), 1).address(), None, "{address}");
        }
    }

    #[test]
    fn other_texts_and_packets_are_nothing() {
        for text in ["", "192.0.2.7:40000", "192.0.2.7/0000000000000001", "192.0.2.7:40000/+000000000000001", "a/b"] {
            assert_eq!(Ear::parse(text), None, "{text}");
        }
        for packet in [&b""[..], b"linklock", b"linklock1234567", b"linklock123456789", b"linkLOCK12345678"] {
            assert_eq!(nonce_of(packet), None);
        }
    }
}
