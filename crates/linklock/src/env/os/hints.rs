//! Hints that machines send each other: datagrams that say "look".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use crate::hint::Ear;

/// Sends a hint, once, and leaves the rest to the network: whoever gets none looks at its next poll.
pub(super) fn send(to: &Ear) {
    let Some(address) = to.address() else { return };
    let sent = socket_for(address.ip()).and_then(|socket| socket.send_to(&to.packet(), address));
    if let Err(e) = sent {
        tracing::debug!(%address, error = %e, "could not send a hint");
    }
}

fn socket_for(ip: IpAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address of this machine on the way to another. Sends nothing: a UDP socket that is connected only has a route.
#[cfg(target_os = "linux")]
pub(super) fn own_address(towards: IpAddr) -> Option<IpAddr> {
    let socket = socket_for(towards).ok()?;
    socket.connect((towards, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}
