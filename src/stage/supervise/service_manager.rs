//! Messages to the service manager that has started this process (`sd_notify(3)`): it is ready, it is alive, it stops. They
//! are datagrams to the socket that `NOTIFY_SOCKET` names; without one nothing is sent.

use crate::core::event::stamp::Stamp;
use crate::world::World;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};
use std::os::fd::OwnedFd;

/// The service manager, if there is one.
pub(super) struct ServiceManager {
    socket: Option<(OwnedFd, SocketAddrUnix)>,
    /// The longest time without a sign of life, in microseconds.
    watchdog: Option<i64>,
}

impl ServiceManager {
    /// The one of this process.
    pub fn of(world: &World) -> Self {
        let socket = world.var("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
                None => SocketAddrUnix::new(name),
            };
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
            socket.and_then(|socket| Ok((socket, address?))).ok()
        });
        // A watchdog of a parent process is not ours.
        let own = std::process::id().to_string();
        let is_ours = world.var("WATCHDOG_PID").is_none_or(|pid| pid == own);
        let watchdog =
            world.var("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|time| is_ours && *time > 0);
        Self { socket, watchdog }
    }

    /// Sends a message. A manager that does not listen is no reason to stop.
    pub fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        let send = || sendto(socket, message.as_bytes(), SendFlags::NOSIGNAL, address);
        while send() == Err(Errno::INTR) {}
    }

    /// Gives a sign of life, and returns when the next one is due: after half the time that the manager waits.
    pub fn keep_alive(&self, now: Stamp) -> Option<Stamp> {
        let time = self.watchdog.filter(|_| self.socket.is_some())?;
        self.tell("WATCHDOG=1");
        Some(Stamp(now.0.saturating_add(time / 2)))
    }
}
