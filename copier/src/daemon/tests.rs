use std::path::PathBuf;

use super::engine::Endpoint;

#[test]
fn engines_are_at_sockets_and_hosts() {
    for (text, tls, expected) in [
        ("unix:///run/x.sock", true, Endpoint::Socket(PathBuf::from("/run/x.sock"))),
        ("tcp://h:2376", true, Endpoint::Tls("h:2376".to_owned())),
        ("tcp://h:2375/", false, Endpoint::Plain("h:2375".to_owned())),
        ("http://h:1", true, Endpoint::Plain("h:1".to_owned())),
        ("https://h:1", false, Endpoint::Tls("h:1".to_owned())),
    ] {
        assert_eq!(Endpoint::parse(text, tls).unwrap(), expected, "{text}");
    }
    for text in ["", "h:2375", "unix://", "ssh://h", "tcp://"] {
        assert!(Endpoint::parse(text, false).is_err(), "{text} was taken");
    }
}
