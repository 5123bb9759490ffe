//! Tells the service manager (`NOTIFY_SOCKET`, sd_notify) that a container runs.

use std::{env, ffi::OsString, os::unix::ffi::OsStrExt};

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

use crate::record::Desired;

/// Tells it which process is the service's, this one, and that it is ready, where the container's program does not say so
/// itself; nothing where nobody is to.
pub(crate) fn started(desired: &Desired) {
    let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|_| !desired.process.sd_silent) else { return };
    let ready = if desired.process.sd_notify { "" } else { "\nREADY=1" };
    let text = format!("MAINPID={}{ready}", std::process::id());
    // A service manager that does not listen has its own time-out; the container runs.
    let _not_told = send(&path, &text);
}

fn send(path: &OsString, text: &str) -> rustix::io::Result<()> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path.as_os_str())?,
    };
    sendto(&socket, text.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        send(&path.into_os_string(), "READY=1").unwrap();
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }
}
