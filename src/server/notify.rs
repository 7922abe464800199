//! Tells systemd how the daemon is (`sd_notify(3)`). Without `NOTIFY_SOCKET` nothing happens.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The daemon answers requests.
pub(super) const READY: &str = "READY=1";

/// The daemon is about to end.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Sends `state`. A service manager that does not listen is no reason to stop.
pub(super) fn send(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send_to(&socket, state) {
        tracing::warn!(%error, "cannot tell the service manager {state}");
    }
}

fn send_to(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
