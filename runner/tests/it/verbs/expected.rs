//! What users of podman and docker type without a thought.

use super::{Image, NONE};
use crate::supervisor::machine;

#[test]
fn inspect_finds_images_volumes_and_networks_too() {
    let Some(image) = Image::new() else { return };
    image.ok(&["volume", "create", "data"]);
    image.ok(&[&["create", "--name", "c"], &NONE[..], &["test:latest", "true"]].concat());
    let asked = |words: &[&str]| image.ok(&[&["inspect", "--format"], words].concat());
    assert_eq!(asked(&["{{.Config.WorkingDir}}", "c"]), "/");
    assert_eq!(asked(&["{{.HostConfig.PidsLimit}} {{.HostConfig.ExtraHosts}}", "c"]), "512 []");
    assert_eq!(asked(&["{{.Os}}", "test:latest"]), "linux");
    assert_eq!(asked(&["{{.Os}}", "--type", "image", "test"]), "linux");
    assert_eq!(asked(&["{{.Name}}", "data"]), "data");
    let wrong = image.0.run(&["inspect", "--type", "image", "c"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let missing = image.0.run(&["inspect", "nobody"]);
    let told = String::from_utf8_lossy(&missing.stderr);
    assert!(
        missing.status.code() == Some(1) && told.contains("no container, image, volume or network"),
        "{told}"
    );
    image.ok(&["volume", "rm", "--force", "data"]);
}

#[test]
fn start_takes_a_for_attach_and_shows_what_the_program_says() {
    let Some(image) = Image::new() else { return };
    image
        .ok(&[&["create", "--name", "c"], &NONE[..], &["test:latest", "sh", "-c", "echo hi; exit 3"]]
            .concat());
    let output = image.0.run(&["start", "-a", "c"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(3), "hi\n"));
}

#[test]
fn exec_in_a_folder_that_is_not_there_says_so_and_makes_none() {
    let Some(machine) = machine() else { return };
    machine.background("web", &[], &["sleep", "1000"]);
    let refused = machine.run(&["exec", "-w", "/no/such", "web", "true"]);
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/no/such"), "{refused:?}");
    assert!(!std::path::Path::new(&machine.root()).join("no").exists());
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn proxies_come_from_here_unless_somebody_says_otherwise() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let said = |flags: &[&str]| {
        let words =
            machine.arguments("run", &[&["--rm"], flags].concat(), &["sh", "-c", "echo $https_proxy"], &root);
        let output = machine.command(&words).env("https_proxy", "http://way:3128").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(said(&[]), "http://way:3128");
    assert_eq!(said(&["--env", "https_proxy=mine"]), "mine");
    assert_eq!(said(&["--http-proxy=false"]), "");
    assert_eq!(said(&["--http-proxy=false", "--env-host"]), "http://way:3128");
}

#[test]
fn a_device_may_have_another_place_in_the_container() {
    let Some(image) = Image::new() else { return };
    for userns in ["auto", "host"] {
        let flags = ["run", "--rm", "--userns", userns, "--device", "/dev/zero:/dev/mine:r"];
        let program = ["test:latest", "sh", "-c", "busybox head -c 3 /dev/mine | busybox wc -c"];
        assert_eq!(image.ok(&[&flags[..], &NONE, &program].concat()), "3", "{userns}");
    }
}

#[test]
fn the_first_group_is_among_the_further_ones_as_after_a_login() {
    let Some(image) = Image::new() else { return };
    let groups = |user: &str| {
        let program = ["test:latest", "busybox", "grep", "Groups", "/proc/self/status"];
        let line = image.ok(&[&["run", "--rm", "--user", user], &NONE[..], &program].concat());
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(groups("web"), ["34", "50"]);
    assert_eq!(groups("1000:1000"), ["1000"]);
    assert_eq!(groups("root"), Vec::<String>::new());
}

#[test]
fn a_container_shares_the_machines_ipc_also_where_there_are_no_message_queues() {
    let Some(image) = Image::new() else { return };
    let run = ["run", "--rm", "--ipc", "host", "test:latest", "ls", "/dev/shm"];
    image.ok(&[&run[..2], &NONE, &run[2..]].concat());
}

#[test]
fn of_a_flag_that_is_said_twice_the_last_counts_and_lists_go_on() {
    let Some(machine) = machine() else { return };
    let flags = ["--rm", "--rm", "--hostname", "one", "--hostname", "two", "-e", "A=1", "-e", "B=2"];
    let root = machine.root();
    let words = machine.arguments("run", &flags, &["sh", "-c", "echo $HOSTNAME $A$B"], &root);
    assert_eq!(machine.ok(&words), "two 12");
}
