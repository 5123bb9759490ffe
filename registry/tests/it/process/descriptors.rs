//! F22: few file descriptors, many connections.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use super::{Registry, clean};

fn get(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // A connection that was closed for others is a failure, told below by its answer.
    let _closed = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn f22_with_64_descriptors_good_clients_are_served_in_a_flood_and_after_it() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_berth-registry")).arg(data.path());
    clean(&mut command);
    let registry = Registry::spawn(command);
    for round in 0..3 {
        let flood: Vec<_> = (0..200).map(|_| TcpStream::connect(registry.addr).unwrap()).collect();
        let began = Instant::now();
        let answer = get(registry.addr);
        assert!(answer.starts_with("HTTP/1.1 200"), "round {round}, in the flood: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(flood);
        let began = Instant::now();
        for _ in 0..20 {
            let answer = get(registry.addr);
            assert!(answer.starts_with("HTTP/1.1 200"), "round {round}, after the flood: {answer:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
