//! Terminals, and the socket to which their masters are sent.

use std::{
    io::{IoSliceMut, Read},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixListener},
};

use berth_runtime::{Exec, Stdio};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::{
    bundle::{Bundle, wait},
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    the_first_process_gets_a_terminal_of_the_containers_own,
    a_further_process_gets_a_terminal,
    the_master_is_sent_to_a_console_socket,
    terminal_and_input_have_to_agree,
    an_image_cannot_put_something_else_in_place_of_the_multiplexer,
];

/// Everything that is written until the other side is closed, which a terminal tells as an error.
fn read_all(master: OwnedFd) -> String {
    let mut file = std::fs::File::from(master);
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = file.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

fn the_first_process_gets_a_terminal_of_the_containers_own() {
    let bundle = Bundle::new("tty; stty size; stat -c '%u %t:%T' /dev/console /dev/pts/0; ps -o tty,args | grep -c pts; echo x > /dev/tty")
        .with("/process/terminal", json!(true))
        .with("/process/user", json!({"uid": 33, "gid": 33}))
        .with("/process/consoleSize", json!({"height": 40, "width": 100}));
    let (container, started) = bundle.create_with(Stdio::Terminal).unwrap();
    container.start().unwrap();
    let said = read_all(started.terminal.as_ref().unwrap().try_clone().unwrap());
    assert_eq!(wait(&started), 0, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..4], ["/dev/pts/0", "40 100", "33 88:0", "33 88:0"], "{said}");
    assert_eq!(lines.last(), Some(&"x"), "the terminal controls it: {said}");
    container.delete(false).unwrap();
}

fn a_further_process_gets_a_terminal() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    let mut process = bundle.process("tty; exit 3");
    process["terminal"] = json!(true);
    let process = serde_json::from_value(process).unwrap();
    let started =
        container.exec(&Exec { process: &process, stdio: Stdio::Terminal, preserve_fds: 0 }).unwrap();
    let said = read_all(started.terminal.as_ref().unwrap().try_clone().unwrap());
    assert_eq!((wait(&started), said.as_str()), (3, "/dev/pts/0\n"));
    container.delete(true).unwrap();
}

fn the_master_is_sent_to_a_console_socket() {
    let bundle = Bundle::new("tty").with("/process/terminal", json!(true));
    let path = bundle.path("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (container, started) = bundle.create_with(Stdio::ConsoleSocket(&path)).unwrap();
    assert!(started.terminal.is_none());
    let (connection, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(&connection, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap();
    assert!(got.bytes > 0, "callers read a name with it");
    let master = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    container.start().unwrap();
    assert_eq!(read_all(master.unwrap()), "/dev/pts/0\n");
    assert_eq!(wait(&started), 0);
    container.delete(false).unwrap();
}

fn terminal_and_input_have_to_agree() {
    let bundle = Bundle::new("true").with("/process/terminal", json!(true));
    let error = bundle.create().unwrap_err().to_string();
    assert!(error.contains("process.terminal: is true: give a console socket"), "{error}");
    let bundle = Bundle::new("true");
    let error = bundle.create_with(Stdio::Terminal).unwrap_err().to_string();
    assert!(error.contains("process.terminal: is not true"), "{error}");
}

fn an_image_cannot_put_something_else_in_place_of_the_multiplexer() {
    let mut bundle = Bundle::new("true").with("/process/terminal", json!(true));
    // Without devpts there is only what is in the image.
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] == "/proc");
    std::fs::create_dir_all(bundle.path("rootfs/dev/pts")).unwrap();
    std::fs::write(bundle.path("rootfs/dev/pts/ptmx"), "").unwrap();
    let error = bundle.create_with(Stdio::Terminal).unwrap_err().to_string();
    assert!(error.contains("what is there is no terminal multiplexer"), "{error}");
}
