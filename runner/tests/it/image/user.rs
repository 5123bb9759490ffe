//! Images of an ordinary user: from a registry that wants a token, through archives, and into containers.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, chown},
    process::Stdio,
};

use super::{
    containers::{layer, layout},
    server::{Mood, Server},
};
use crate::bundle_user::{Home, SubordinateIds, USER};

const NONE: [&str; 2] = ["--network", "none"];

#[test]
fn a_user_logs_in_pulls_with_a_token_runs_and_carries_the_image_through_a_pipe() {
    let Some(home) = Home::with(|_| ()) else { return };
    let _ids = SubordinateIds::new();
    let server = Server::new(&layout(), &[layer()], Mood::Tokened);
    let name = server.name();
    let host = name.split('/').next().unwrap();
    let refused = home.run(&["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let wrong = home.run(&["login", "--tls-verify=false", "-u", "reader", "-p", "wrong", host]);
    assert!(!wrong.status.success(), "{wrong:?}");
    home.ok(&["login", "--tls-verify=false", "-u", "reader", "-p", "secret", host]);
    let id = home.ok(&["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(server.layers(), 1);
    let run = [&["run", "--rm"], &NONE[..], &[&name, "cat", "/etc/motd"]].concat();
    assert_eq!(home.ok(&run), "hello\n");

    // Out and in again by a pipe, as the same user.
    let mut save = home.command(&["save", "-q", &name]).stdout(Stdio::piped()).spawn().unwrap();
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut save.stdout.take().unwrap(), &mut tar).unwrap();
    assert!(save.wait().unwrap().success());
    home.ok(&["rmi", &name]);
    assert_eq!(home.ok(&["images", "-q"]), "");
    let mut load = home.command(&["load", "-q"]);
    let mut load = load.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    load.stdin.take().unwrap().write_all(&tar).unwrap();
    assert!(load.wait().unwrap().success());
    assert_eq!(home.ok(&["images", "-q", "--no-trunc"]).trim_end(), format!("sha256:{}", id.trim_end()));
    assert_eq!(home.ok(&run), "hello\n");
    assert!(home.ok(&["check"]).contains("0 damaged"));
}

#[test]
fn a_user_copies_into_containers_and_out_of_them_whatever_is_mounted_there() {
    let Some(home) = Home::with(|_| ()) else { return };
    let _ids = SubordinateIds::new();
    home.import();
    for name in ["bound", "new"] {
        let path = home.path("home").join(name);
        if name == "bound" {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "from outside").unwrap()
        }
        chown(path, Some(USER.1), Some(USER.2)).unwrap();
    }
    let bind = format!("{}:/bound", home.path("home/bound").display());
    let mounts = ["-v", "data:/srv/seed", "-v", &bind, "--tmpfs", "/mem"];
    for (name, userns) in [("plain", "host"), ("kept", "keep-id")] {
        let run = ["run", "-d", "--name", name, "--userns", userns];
        home.ok(&[&run, &NONE[..], &mounts, &["test:latest", "sleep", "1000"]].concat());
        let at = |path: &str| format!("{name}:{path}");
        for place in ["/srv/seed/new", "/bound/new", "/mem/new", "/tmp/new"] {
            home.ok(&["cp", "new", &at(place)]);
            home.ok(&["cp", &at(place), "back"]);
            let back = home.path("home/back");
            assert_eq!(fs::read_to_string(&back).unwrap(), "from outside", "{name}: {place}");
            assert_eq!(fs::metadata(&back).unwrap().uid(), USER.1);
            fs::remove_file(back).unwrap();
        }
        assert_eq!(home.ok(&["exec", name, "cat", "/mem/new"]), "from outside");
        home.ok(&["exec", name, "ln", "-sf", "/etc/shadow", "/srv/seed/link"]);
        let stolen = home.run(&["cp", "-L", &at("/srv/seed/link"), "stolen"]);
        assert!(!stolen.status.success(), "the machine's file: {stolen:?}");
        home.ok(&["stop", "-t", "0", name]);
        for place in ["/srv/seed/new", "/bound/new", "/tmp/new"] {
            let tar = home.run(&["cp", &at(place), "-"]);
            assert!(tar.status.success() && tar.stdout.len() > 1024, "{name}: {place}: {tar:?}");
            let mut child = home.command(&["cp", "-", &at("/etc")]).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
            assert!(child.wait().unwrap().success());
            home.ok(&["cp", &at("/etc/new"), "back"]);
            assert_eq!(fs::read_to_string(home.path("home/back")).unwrap(), "from outside");
        }
        home.ok(&["rm", name]);
    }
    // Each by whom it was written: the user, as root of the one and as the user of the other.
    assert_eq!(fs::metadata(home.path("home/bound/new")).unwrap().uid(), USER.1);
}
