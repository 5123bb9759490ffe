//! Standard input, output and error of a container's process: files of the caller's, or a terminal of its own.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

use oci_spec::runtime::Process;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fchown, fstat, major, minor, openat2},
    io::{Errno, fcntl_dupfd_cloexec},
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, connect, sendmsg, socket_with,
    },
    process::Uid,
    pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
    termios::{Winsize, tcsetwinsize},
};

use crate::{During, RuntimeError};

/// Makes three descriptors this process's standard ones.
pub(super) fn use_files(files: [BorrowedFd<'_>; 3], first_free: RawFd) -> Result<(), RuntimeError> {
    let step = || "setting up standard input, output and error".to_owned();
    // Copies first: one of the three may lie where another has to go.
    let copies = files.map(|file| fcntl_dupfd_cloexec(file, first_free));
    let [input, output, error] = copies;
    dup2_stdin(input.during(step)?).during(step)?;
    dup2_stdout(output.during(step)?).during(step)?;
    dup2_stderr(error.during(step)?).during(step)
}

/// Lets the process's user open its pipes by name (`/dev/stdout`): they belong to the caller's user. Files, sockets and
/// the caller's own terminal are not the container's to own.
pub(super) fn own_pipes(uid: u32) -> Result<(), RuntimeError> {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let found = fstat(fd).during(|| "looking at standard input, output and error".into())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Fifo || found.st_uid == uid {
            continue;
        }
        match fchown(fd, Some(Uid::from_raw(uid)), None) {
            // Its owner is nobody in this user namespace, or it lies on a read-only filesystem: it can be used, not opened.
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => {}
            Err(error) => return Err(error).during(|| "giving a pipe to the container's user".into()),
        }
    }
    Ok(())
}

/// Opens a terminal in the container's own devpts, so that its name means something inside, makes it the controlling
/// terminal and the three standard descriptors, and answers its master.
pub(super) fn open(process: &Process, is_init: bool) -> Result<OwnedFd, RuntimeError> {
    let step = || "opening a terminal in the container's /dev/pts (is devpts mounted there?)".to_owned();
    let master = open_multiplexer().during(step)?;
    unlockpt(&master).during(step)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).during(step)?;
    if let Some(size) = process.console_size() {
        let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
        let size =
            Winsize { ws_row: cells(size.height()), ws_col: cells(size.width()), ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).during(|| "setting the size of the terminal".into())?;
    }
    fchown(&slave, Some(Uid::from_raw(process.user().uid())), None)
        .during(|| "giving the terminal to the container's user".into())?;
    if is_init {
        mount_console(&slave)?;
    }
    rustix::process::ioctl_tiocsctty(&slave).during(|| "making the terminal the controlling one".into())?;
    let standard = || "setting up standard input, output and error".to_owned();
    dup2_stdin(&slave).during(standard)?;
    dup2_stdout(&slave).during(standard)?;
    dup2_stderr(&slave).during(standard)?;
    Ok(master)
}

/// The multiplexer, which is one: an image cannot put another device, a file or a link there.
fn open_multiplexer() -> io::Result<OwnedFd> {
    let open = |path: &str| {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
    };
    let master = match open("/dev/pts/ptmx") {
        // A devpts of the machine's, mounted from outside, has its multiplexer in /dev.
        Err(Errno::NOENT | Errno::ACCESS) => open("/dev/ptmx")?,
        other => other?,
    };
    let found = fstat(&master)?;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
    if !is_device || (major(found.st_rdev), minor(found.st_rdev)) != (5, 2) {
        return Err(io::Error::other("what is there is no terminal multiplexer"));
    }
    // Opening must not block on what is no terminal; using it may.
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags.difference(OFlags::NONBLOCK))?;
    Ok(master)
}

/// Puts the terminal at `/dev/console`.
fn mount_console(slave: &OwnedFd) -> Result<(), RuntimeError> {
    let step = || "mounting the terminal at /dev/console".to_owned();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(CWD, "/dev/console", flags | OFlags::EXCL, Mode::from_raw_mode(0o600), resolve) {
        // What is there is covered; on a read-only /dev nothing can be made.
        Ok(_) | Err(Errno::EXIST | Errno::ROFS) => {}
        Err(error) => return Err(error).during(step),
    }
    let place = match openat2(CWD, "/dev/console", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.during(step)?,
    };
    let tree = open_tree(
        slave,
        c"",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH,
    )
    .during(step)?;
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, c"", &place, c"", both).during(step)
}

/// Sends a terminal's master to whoever listens on a unix socket; with it goes its name, as other runtimes send it.
pub(super) fn send_to_socket(master: &OwnedFd, path: &Path) -> Result<(), RuntimeError> {
    let step = || format!("sending the terminal to the console socket {}", path.display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).during(step)?;
    connect(&socket, &SocketAddrUnix::new(path).during(step)?).during(step)?;
    let fds = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL).during(step)?;
    Ok(())
}

/// That descriptors 3 to 2 + `count` are open, before anything else is opened that could take their numbers.
pub(super) fn check_preserved(count: u32) -> Result<RawFd, RuntimeError> {
    let end = RawFd::try_from(count).ok().and_then(|count| count.checked_add(3)).unwrap_or(RawFd::MAX);
    match (3..end).find(|fd| !crate::sys::descriptors::is_open(*fd)) {
        None => Ok(end),
        Some(closed) => Err(RuntimeError::Step {
            step: format!("keeping {count} descriptors for the process: descriptor {closed}"),
            source: io::Error::from_raw_os_error(Errno::BADF.raw_os_error()),
        }),
    }
}

/// In the process: descriptors 3 to `end` stay open over exec, all others are closed by it.
pub(super) fn keep_preserved(end: RawFd) -> Result<(), RuntimeError> {
    let step = || "keeping descriptors for the process".to_owned();
    crate::sys::descriptors::close_on_exec(end).during(step)?;
    (3..end).try_for_each(|fd| crate::sys::descriptors::keep_on_exec(fd).during(step))
}
