//! Against a manager of our own that takes the wire's bytes apart by the D-Bus specification, written apart from what it
//! checks.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread::JoinHandle,
};

use super::*;

fn line(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// A call as it came: header fields by code, and the body.
struct Call {
    serial: u32,
    fields: Vec<(u8, String)>,
    body: Vec<u8>,
}

fn call(stream: &mut UnixStream) -> Call {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head[..4], b"l\x01\x00\x01", "little-endian, a call, no flags, version 1");
    let (body, serial, fields) = (number(&head, 4), number(&head, 8), number(&head, 12));
    let mut rest = vec![0; fields.div_ceil(8) * 8 + body];
    stream.read_exact(&mut rest).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while at < fields {
        at = at.div_ceil(8) * 8;
        let (code, kind) = (rest[at], rest[at + 2]);
        assert_eq!((rest[at + 1], rest[at + 3]), (1, 0), "a signature of one letter");
        at += 4;
        let (length, from) =
            if kind == b'g' { (rest[at] as usize, at + 1) } else { (number(&rest, at), at + 4) };
        found.push((code, String::from_utf8(rest[from..from + length].to_vec()).unwrap()));
        assert_eq!(rest[from + length], 0);
        at = from + length + 1;
    }
    Call { serial: serial.try_into().unwrap(), fields: found, body: rest[fields.div_ceil(8) * 8..].to_vec() }
}

/// A message with a reply's serial (or none) and a body, as systemd writes it.
fn message(kind: u8, answers: Option<u32>, member: Option<&str>, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut field = |code: u8, kind: u8, value: &[u8]| {
        fields.resize(fields.len().div_ceil(8) * 8, 0);
        fields.extend([code, 1, kind, 0]);
        fields.extend(value);
    };
    if let Some(serial) = answers {
        field(5, b'u', &serial.to_le_bytes());
    }
    if let Some(member) = member {
        field(3, b's', &text(member));
    }
    field(8, b'g', &[&[u8::try_from(signature.len()).unwrap()], signature.as_bytes(), &[0]].concat());
    let mut bytes = vec![b'l', kind, 0, 1];
    bytes.extend(length(body));
    bytes.extend(9u32.to_le_bytes());
    bytes.extend(length(&fields));
    bytes.extend(&fields);
    bytes.resize(bytes.len().div_ceil(8) * 8, 0);
    bytes.extend(body);
    bytes
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap().to_le_bytes()
}

fn text(text: &str) -> Vec<u8> {
    [&length(text.as_bytes())[..], text.as_bytes(), &[0]].concat()
}

fn aligned(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        all.resize(all.len().div_ceil(4) * 4, 0);
        all.extend(part);
    }
    all
}

/// Lets one connection in and gives it to `talk`.
fn manager<T: Send + 'static>(
    talk: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> (tempfile::TempDir, Scope, JoinHandle<T>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("private");
    let listener = UnixListener::bind(&socket).unwrap();
    let scope = Scope { unit: "berth-x.scope".into(), slice: "a-b.slice".into(), socket };
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let said = line(&mut stream);
        let hex: String = rustix::process::geteuid()
            .as_raw()
            .to_string()
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(said, format!("\0AUTH EXTERNAL {hex}\r\n"));
        stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").unwrap();
        assert_eq!(line(&mut stream), "BEGIN\r\n");
        talk(stream)
    });
    (folder, scope, thread)
}

const JOB: &str = "/org/freedesktop/systemd1/job/7";

fn started(result: &'static str, early: bool) -> (Result<(), RuntimeError>, Call) {
    let (_folder, scope, thread) = manager(move |mut stream| {
        let call = call(&mut stream);
        let other =
            aligned(&[3u32.to_le_bytes().to_vec(), text("/other"), text("other.service"), text("failed")]);
        let ours = aligned(&[7u32.to_le_bytes().to_vec(), text(JOB), text("berth-x.scope"), text(result)]);
        let answer = message(2, Some(call.serial), None, "o", &text(JOB));
        let removed = message(4, None, Some("JobRemoved"), "uoss", &ours);
        stream.write_all(&message(4, None, Some("JobRemoved"), "uoss", &other)).unwrap();
        // The job may end before its call is answered.
        let order = if early { [removed, answer] } else { [answer, removed] };
        order.iter().for_each(|bytes| stream.write_all(bytes).unwrap());
        call
    });
    let resources: LinuxResources = serde_json::from_str(
        r#"{"memory": {"limit": 1048576, "swap": 3145728}, "pids": {"limit": 9},
            "cpu": {"shares": 1024, "quota": 50000, "period": 100000}}"#,
    )
    .unwrap();
    let done = scope.start(4711, Some(&resources));
    (done, thread.join().unwrap())
}

/// Reads the call's properties as the specification lays them out.
fn properties(body: &[u8]) -> Vec<(String, String)> {
    let string = |at: &mut usize| {
        *at = at.div_ceil(4) * 4;
        let length = number(body, *at);
        let text = String::from_utf8(body[*at + 4..*at + 4 + length].to_vec()).unwrap();
        *at += length + 5;
        text
    };
    let mut at = 0;
    assert_eq!((string(&mut at), string(&mut at)), ("berth-x.scope".into(), "fail".into()));
    at = at.div_ceil(4) * 4;
    let length = number(body, at);
    at = (at + 4).div_ceil(8) * 8;
    let end = at + length;
    let mut found = Vec::new();
    while at < end {
        at = at.div_ceil(8) * 8;
        let name = string(&mut at);
        let signature = String::from_utf8(body[at + 1..=at + usize::from(body[at])].to_vec()).unwrap();
        at += signature.len() + 2;
        let value = match signature.as_str() {
            "s" => string(&mut at),
            "b" => {
                at = at.div_ceil(4) * 4 + 4;
                number(body, at - 4).to_string()
            }
            "t" => {
                at = at.div_ceil(8) * 8 + 8;
                u64::from_le_bytes(body[at - 8..at].try_into().unwrap()).to_string()
            }
            "au" => {
                at = at.div_ceil(4) * 4;
                assert_eq!(number(body, at), 4, "one number");
                at += 8;
                number(body, at - 4).to_string()
            }
            other => panic!("{other}"),
        };
        found.push((name, value));
    }
    assert_eq!(at, end);
    at = at.div_ceil(4) * 4;
    assert_eq!((number(body, at), body.len()), (0, (at + 4).div_ceil(8) * 8), "no further units");
    found
}

#[test]
fn a_scope_is_asked_for_as_the_wire_has_it() {
    let (done, call) = started("done", false);
    done.unwrap();
    assert_eq!(
        call.fields,
        [
            (1, "/org/freedesktop/systemd1".to_owned()),
            (2, "org.freedesktop.systemd1.Manager".to_owned()),
            (3, "StartTransientUnit".to_owned()),
            (6, "org.freedesktop.systemd1".to_owned()),
            (8, "ssa(sv)a(sa(sv))".to_owned()),
        ]
    );
    let expected = [
        ("Description", "a container of berth-runner"),
        ("Slice", "a-b.slice"),
        ("PIDs", "4711"),
        ("Delegate", "1"),
        ("DefaultDependencies", "0"),
        ("CollectMode", "inactive-or-failed"),
        ("MemoryMax", "1048576"),
        ("MemorySwapMax", "2097152"),
        ("TasksMax", "9"),
        ("CPUWeight", "100"),
        ("CPUQuotaPerSecUSec", "500000"),
        ("CPUQuotaPeriodUSec", "100000"),
    ];
    let found = properties(&call.body);
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_job_that_ends_before_its_answer_is_seen_and_one_that_fails_is_an_error() {
    started("done", true).0.unwrap();
    let error = started("failed", false).0.unwrap_err().to_string();
    assert!(error.contains("berth-x.scope") && error.contains("\"failed\""), "{error}");
}

#[test]
fn what_systemd_refuses_is_said_in_its_words() {
    let (_folder, scope, thread) = manager(|mut stream| {
        let call = call(&mut stream);
        stream.write_all(&message(3, Some(call.serial), None, "s", &text("Unit exists"))).unwrap();
    });
    let error = scope.start(1, None).unwrap_err().to_string();
    thread.join().unwrap();
    assert!(error.contains("Unit exists"), "{error}");
}

#[test]
fn the_managers_group_is_asked_for() {
    let (_folder, scope, thread) = manager(|mut stream| {
        let call = call(&mut stream);
        let variant = [&[1, b's', 0, 0][..], &text("/user.slice/user@1.service")].concat();
        stream.write_all(&message(2, Some(call.serial), None, "v", &variant)).unwrap();
        call.fields
    });
    assert_eq!(scope.manager_group().unwrap(), Path::new("user.slice/user@1.service"));
    assert!(thread.join().unwrap().contains(&(3, "Get".to_owned())));
}

#[test]
fn a_machine_without_systemd_says_what_else_there_is() {
    let scope =
        Scope { unit: "x.scope".into(), slice: "system.slice".into(), socket: "/nowhere/private".into() };
    let error = scope.start(1, None).unwrap_err();
    assert!(matches!(&error, RuntimeError::Unsupported { why, .. } if why.contains("by folder")), "{error}");
}

#[test]
fn a_socket_that_talks_nonsense_is_an_error() {
    for nonsense in [vec![0u8; 64], [&b"l\x02\0\x01"[..], &[0xff; 60]].concat(), b"l\x02".to_vec()] {
        let (_folder, scope, thread) = manager(move |mut stream| {
            call(&mut stream);
            // The other side may have closed already.
            let _ = stream.write_all(&nonsense);
        });
        scope.start(1, None).unwrap_err();
        thread.join().unwrap();
    }
}

#[test]
fn slices_lie_in_the_slices_of_their_names() {
    let of = |path: &str| Scope::of(Some(Path::new(path)), "c+1", Path::new("/"));
    let scope = of("machine-a-b.slice:libpod:c1").unwrap();
    let folder = "machine.slice/machine-a.slice/machine-a-b.slice/libpod-c1.scope";
    assert_eq!(scope.folder().unwrap(), Path::new(folder));
    assert_eq!(of("-.slice::").unwrap().folder().unwrap(), Path::new("c\\x2b1.scope"));
    for wrong in
        ["machine.slice", "/a/b", "a.service:x:y", "a--b.slice:x:y", "../x.slice:x:y", "-a.slice:x:y"]
    {
        assert!(matches!(of(wrong), Err(RuntimeError::Spec { .. })), "{wrong}");
    }
}
