//! What `run` and `create` write, read and set up.

use std::{fs, os::unix::fs::symlink};

use crate::supervisor::machine;

#[test]
fn the_id_is_written_to_a_new_file_and_through_no_link() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cid, link, victim) = (path("cid"), path("link"), path("victim"));
    let create = |file: &str| {
        machine.run(&machine.arguments("create", &["--cidfile", file], &["true"], &machine.root()))
    };
    let made = create(&cid);
    assert!(made.status.success(), "{made:?}");
    let id = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
    assert_eq!(fs::read_to_string(&cid).unwrap(), id);
    assert_eq!(machine.ok(&["start", "--cidfile", &cid]), id);
    machine.ok(&["rm", "--force", "--cidfile", &cid]);

    // Neither a file that is there is written, nor what a link leads to, whether that is there or not.
    let there = create(&cid);
    assert_eq!(there.status.code(), Some(125), "{there:?}");
    assert!(String::from_utf8_lossy(&there.stderr).contains("is there already"), "{there:?}");
    symlink(&victim, &link).unwrap();
    assert_eq!(create(&link).status.code(), Some(125));
    assert!(!fs::exists(&victim).unwrap(), "it was made through a link");
    fs::write(&victim, "safe").unwrap();
    assert_eq!(create(&link).status.code(), Some(125));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
    // One that could not be made leaves no file.
    let missing = path("missing");
    let flags = ["--cidfile", &missing, "-v", "no_such_volume:relative"];
    assert!(!machine.run(&machine.arguments("create", &flags, &["true"], &machine.root())).status.success());
    assert!(!fs::exists(&missing).unwrap());
    machine.is_empty();
}

#[test]
fn process_ids_are_written_in_place_of_links() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pid, supervisor, victim) = (path("pid"), path("conmon"), path("victim"));
    fs::write(&victim, "safe").unwrap();
    symlink(&victim, &pid).unwrap();
    machine.background("web", &["--pidfile", &pid, "--conmon-pidfile", &supervisor], &["sleep", "1000"]);
    let read = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
    assert_eq!(read(&pid), machine.inspect("web", ".State.Pid"));
    assert_eq!(read(&supervisor), machine.inspect("web", ".State.ConmonPid"));
    assert_eq!(read(&victim), "safe");
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn variables_come_from_files_for_run_and_exec_and_later_ones_win() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, "# words\nA=1\n\n  B=two words\nFROM_HERE\nNO_SUCH_VARIABLE\nEMPTY=\n").unwrap();
    fs::write(&two, "A=2\n").unwrap();
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let show = "echo \"$A|$B|$C|$FROM_HERE|${NO_SUCH_VARIABLE-unset}|${EMPTY-unset}\"";
    let said = |arguments: &[&str]| {
        let output = machine.command(arguments).env("FROM_HERE", "here").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let root = machine.root();
    let flags = ["--rm", "--env-file", one, "--env-file", two, "-e", "C=3"];
    assert_eq!(
        said(&machine.arguments("run", &flags, &["sh", "-c", show], &root)),
        "2|two words|3|here|unset|"
    );
    let flags = ["--rm", "-e", "A=flag", "--env-file", one];
    let wins = said(&machine.arguments("run", &flags, &["sh", "-c", show], &root));
    assert!(wins.starts_with("flag|"), "{wins}");
    machine.background("web", &[], &["sleep", "1000"]);
    let flags = ["exec", "-e", "C=3", "--env-file", one, "--env-file", two, "web", "sh", "-c", show];
    assert_eq!(said(&flags), "2|two words|3|here|unset|");
    let missing = machine.run(&machine.arguments("run", &["--env-file", "/no/such"], &["true"], &root));
    assert_eq!(missing.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such"), "{missing:?}");
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn any_user_of_a_container_may_ask_for_echoes() {
    let Some(image) = super::Image::new() else { return };
    // No capability, and a group that is not root's.
    let script = "use Socket; socket(S, AF_INET, SOCK_DGRAM, 1) or die $!; \
                  connect(S, sockaddr_in(0, inet_aton('127.0.0.1'))) or die $!; \
                  send(S, pack('C2n3a4', 8, 0, 0, 7, 1, 'ping'), 0) or die $!; recv(S, my $b, 64, 0); \
                  print unpack('C', $b), substr($b, 8);";
    for userns in ["auto", "host"] {
        let flags = ["run", "--rm", "--userns", userns, "--user", "33:34", "--cap-drop", "all"];
        let program = ["-v", "/usr:/usr:ro", "test:latest", "/usr/bin/perl", "-e", script];
        assert_eq!(image.ok(&[&flags[..], &super::NONE, &program].concat()), "0ping", "{userns}");
    }
}
