use super::*;
use crate::record::{Port, Protocol};

#[test]
fn sizes_are_powers_of_1024() {
    let table = [
        ("0", 0),
        ("1024", 1024),
        ("1b", 1),
        ("1k", 1024),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5g", 3 << 29),
        ("2T", 2 << 40),
    ];
    for (text, wanted) in table {
        assert_eq!(bytes(text), Ok(wanted), "{text}");
    }
    for bad in ["", "m", "-1", "1x", "1.2.3", "99999999999999999999", "18014398509481984k", "1 2"] {
        assert!(bytes(bad).is_err(), "{bad}");
    }
}

#[test]
fn durations_are_sums_of_units() {
    let table =
        [("30", 30_000), ("30s", 30_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("0", 0)];
    for (text, wanted) in table {
        assert_eq!(milliseconds(text), Ok(wanted), "{text}");
    }
    for bad in ["", "s", "1d", "1m30", "-1s", "99999999999999999h"] {
        assert!(milliseconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn signals_have_names_and_numbers() {
    let table = [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGRTMIN+3", 37), ("RTMIN", 34), ("RTMAX-1", 63)];
    for (text, wanted) in table {
        assert_eq!(signal(text), Ok(wanted), "{text}");
    }
    for bad in ["", "0", "65", "-9", "NOPE", "RTMIN+31", "RTMIN3", "RTMAX-31", "RTMIN+99999999999"] {
        assert!(signal(bad).is_err(), "{bad}");
    }
}

fn port(address: &str, host: u16, container: u16, protocol: Protocol) -> Port {
    Port { address: address.parse().unwrap(), host, container, protocol }
}

#[test]
fn ports_are_published_on_loopback_unless_an_address_is_named() {
    use Protocol::{Sctp, Tcp, Udp};
    let table = [
        ("80", vec![port("127.0.0.1", 0, 80, Tcp)]),
        ("8080:80", vec![port("127.0.0.1", 8080, 80, Tcp)]),
        ("8080:80/udp", vec![port("127.0.0.1", 8080, 80, Udp)]),
        ("0.0.0.0:8080:80/sctp", vec![port("0.0.0.0", 8080, 80, Sctp)]),
        ("10.0.0.1::80", vec![port("10.0.0.1", 0, 80, Tcp)]),
        ("[::1]:8080:80", vec![port("::1", 8080, 80, Tcp)]),
        ("[::]::80", vec![port("::", 0, 80, Tcp)]),
        ("81-82:91-92", vec![port("127.0.0.1", 81, 91, Tcp), port("127.0.0.1", 82, 92, Tcp)]),
        ("53:53/tcp,udp", vec![port("127.0.0.1", 53, 53, Tcp), port("127.0.0.1", 53, 53, Udp)]),
    ];
    for (text, wanted) in table {
        assert_eq!(ports(text), Ok(wanted), "{text}");
    }
    for bad in [
        "",
        "0",
        "65536",
        "80:",
        "x:80",
        "1-3:80",
        "3-1",
        "80/icmp",
        "[::1:80:80",
        "300.0.0.1:1:1",
        "+80",
        "1-+2",
        "+8080:80",
    ] {
        assert!(ports(bad).is_err(), "{bad}");
    }
}

#[test]
fn resource_limits_are_two_numbers() {
    let both = ulimit("nofile=1024:2048").unwrap();
    assert_eq!((both.name.as_str(), both.soft, both.hard), ("RLIMIT_NOFILE", 1024, 2048));
    let none = ulimit("core=-1").unwrap();
    assert_eq!((none.soft, none.hard), (u64::MAX, u64::MAX));
    for bad in ["nofile", "files=1", "nofile=2:1", "nofile=x", "nofile="] {
        assert!(ulimit(bad).is_err(), "{bad}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let mut faults = Faults::default();
    assert_eq!(faults.take("--memory", bytes("64m")), Some(64 << 20));
    Faults::default().finish().unwrap();
    assert_eq!(faults.take("--memory", bytes("x")), None);
    assert_eq!(faults.take("--publish", ports("y")), None);
    let text = faults.finish().unwrap_err().to_string();
    assert!(
        text.starts_with("2 faults:") && text.contains("--memory: ") && text.contains("--publish: "),
        "{text}"
    );
}

#[test]
fn a_protocol_stands_once() {
    assert_eq!(exposed("1-65535/tcp,udp,sctp").unwrap().len(), 3 * 65_535);
    for text in ["80/tcp,tcp", "1-65535/udp,tcp,udp"] {
        assert!(exposed(text).unwrap_err().contains("stands twice"), "{text}");
        assert!(ports(text).is_err(), "{text}");
    }
}

#[test]
fn a_duration_ends_at_the_same_length_however_it_is_said() {
    let most = u64::MAX / 1_000_000;
    for (text, fits) in [(most, true), (most + 1, false)] {
        assert_eq!(milliseconds(&text.to_string()).is_ok(), fits, "{text}");
        assert_eq!(milliseconds(&format!("{text}s")).is_ok(), fits, "{text}s");
    }
}
