//! Tells the service manager (`NOTIFY_SOCKET`, sd_notify) that a container runs.

use std::{env, ffi::OsString, os::unix::ffi::OsStrExt};

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

use crate::record::Desired;

/// Tells it, unless the container's program does so itself, or nobody is to. The main process is this one.
pub(crate) fn started(desired: &Desired) {
    let ours = !desired.process.sd_notify && !desired.process.sd_silent;
    let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|_| ours) else { return };
    let text = format!("MAINPID={}\nREADY=1", std::process::id());
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
