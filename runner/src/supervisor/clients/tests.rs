use rustix::net::SendFlags;

use super::*;

fn connected() -> (Clients, OwnedFd) {
    let folder = tempfile::tempdir().unwrap();
    let mut clients = Clients::listen(&folder.path().join("sock")).unwrap();
    let (ours, theirs) = parcel::pair().unwrap();
    clients.add(ours, Some(Attach { input: false, output: true }));
    (clients, theirs)
}

#[test]
fn a_client_that_takes_nothing_is_let_go_with_a_word() {
    let (mut clients, theirs) = connected();
    let piece = vec![b'x'; 60_000];
    for _ in 0..100 {
        clients.output(say::OUT, &piece);
    }
    assert!(clients.clients[0].queue.len() < 30, "what it did not take is bounded");
    loop {
        clients.flush(0);
        let message = parcel::receive(&theirs, RecvFlags::DONTWAIT).unwrap();
        if message.bytes == [say::BEHIND] {
            break;
        }
        assert_eq!(message.bytes.len(), 60_001);
    }
    clients.sweep(Instant::now());
    assert_eq!(clients.iter().count(), 0);
}

#[test]
fn a_client_that_says_nothing_or_nonsense_is_let_go() {
    let (mut clients, _theirs) = connected();
    let (ours, silent) = parcel::pair().unwrap();
    clients.add(ours, None);
    let due = clients.sweep(Instant::now()).unwrap();
    assert_eq!(clients.iter().count(), 2);
    clients.sweep(due);
    assert_eq!(clients.iter().count(), 1, "the attached one stays");
    drop(silent);
    let (ours, rude) = parcel::pair().unwrap();
    let number = clients.add(ours, None);
    parcel::send(&rude, b"GET / HTTP/1.1", &[], SendFlags::empty()).unwrap();
    assert_eq!(clients.read(number), None);
    clients.sweep(Instant::now());
    assert_eq!(clients.iter().count(), 1);
}

/// Connects as a user; the thread that becomes that user ends with it.
fn connected_as(path: &Path, uid: u32) -> OwnedFd {
    let path = path.to_owned();
    let connect = move || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid)).unwrap();
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        socket
    };
    std::thread::spawn(connect).join().unwrap()
}

#[test]
fn another_user_is_not_let_in_even_where_the_socket_is_open_to_all() {
    use std::os::unix::fs::PermissionsExt;
    let own = rustix::process::geteuid();
    if !own.is_root() {
        assert!(std::env::var_os("CI").is_none(), "needs root, to be another user");
        eprintln!("skipped: needs root, to be another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("sock");
    let mut clients = Clients::listen(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let stranger = connected_as(&path, 65_534);
    clients.accept();
    assert_eq!(clients.iter().count(), 0);
    assert!(!matches!(parcel::receive(&stranger, RecvFlags::empty()), Ok(said) if !said.bytes.is_empty()));
    let _own = connected_as(&path, own.as_raw());
    clients.accept();
    assert_eq!(clients.iter().count(), 1);
}

#[test]
fn there_are_never_more_clients_than_a_supervisor_has_memory_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let mut clients = Clients::listen(&path).unwrap();
    let mut theirs = Vec::new();
    for _ in 0..MOST + 5 {
        theirs.push(connected_as(&path, rustix::process::geteuid().as_raw()));
        clients.accept();
    }
    assert_eq!(clients.iter().count(), MOST);
}

#[test]
fn the_socket_is_its_owner_s_and_its_path_may_be_long() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let path = deep.join("sock");
    let _clients = Clients::listen(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
