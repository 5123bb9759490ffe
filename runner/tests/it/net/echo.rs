//! Echoes (`ping`) of containers without any capability.

use std::{path::Path, process::Output};

use super::machine::{Machine, root};

/// Asks for one echo by a socket that takes no rights, as iputils and others do.
const PING: &str = "use Socket; socket(S, AF_INET, SOCK_DGRAM, 1) or die qq(socket: $!); \
     send(S, pack('C2 n3 a4', 8, 0, 0, 0, 1, 'ping'), 0, sockaddr_in(0, inet_aton($ARGV[0]))) or die qq(send: $!); \
     vec($r = '', fileno(S), 1) = 1; select($r, undef, undef, 5) or die 'no answer'; recv(S, $b, 99, 0); \
     print unpack('C', $b) == 0 ? 'answered' : 'what is that';";

/// An image into which the machine's programs can be mounted.
fn import(machine: &Machine) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::create_dir(&image).unwrap();
    crate::bundle::image_root(&image);
    std::fs::create_dir(image.join("usr")).unwrap();
    for name in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), image.join(name)).unwrap();
    }
    let tar = folder.path().join("image.tar");
    let mut command = std::process::Command::new("tar");
    assert!(command.arg("-C").arg(&image).arg("-cf").arg(&tar).arg(".").status().unwrap().success());
    let made = machine.runner(&["import", "-q", tar.to_str().unwrap(), "test:latest"]);
    assert!(made.status.success(), "{made:?}");
}

/// What a container without capabilities is told that asks `to` for an echo.
fn ping(machine: &Machine, flags: &[&str], to: &str) -> Output {
    let usual = ["run", "--rm", "--cap-drop", "all", "-v", "/usr:/usr:ro"];
    let program = ["test:latest", "/usr/bin/perl", "-e", PING, to];
    machine.runner(&[&usual[..], flags, &program].concat())
}

#[test]
fn who_has_no_capability_asks_others_and_the_gateway_for_echoes() {
    if !root() {
        return;
    }
    assert!(Path::new("/usr/bin/perl").exists(), "install perl-base");
    let machine = Machine::new();
    import(&machine);
    let web = machine.runner(&["run", "-d", "--name", "web", "test:latest", "sleep", "1000"]);
    assert!(web.status.success(), "{web:?}");
    let asked = |field: &str| {
        let output = machine.runner(&["inspect", "-f", &format!("{{{{.NetworkSettings.{field}}}}}"), "web"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (address, gateway) = (asked("IPAddress"), asked("Gateway"));
    for to in [&address, &gateway] {
        for flags in [&[][..], &["--user", "1000:1000"], &["--userns", "host", "--user", "1000:1000"]] {
            let output = ping(&machine, flags, to);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "answered", "{flags:?} {to}: {output:?}");
        }
    }
    // Whoever wants it otherwise says so.
    let output = ping(&machine, &["--sysctl", "net.ipv4.ping_group_range=1 0"], &address);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
    // In a network of its own that leads nowhere, too.
    let output = ping(&machine, &["--network", "none"], "127.0.0.1");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "answered", "{output:?}");
    let gone = machine.runner(&["rm", "--all", "--force", "--time", "0"]);
    assert!(gone.status.success(), "{gone:?}");
}
