//! `top`, `stats`, `rename`, `port`, `diff`, `container prune`.

use serde_json::Value;

use crate::{
    net::machine::{Machine as Network, root},
    supervisor::machine,
};

#[test]
fn processes_are_listed_with_the_ids_of_the_container() {
    let Some(machine) = machine() else { return };
    machine.background("web", &["-u", "guest"], &["sh", "-c", "sleep 1000; true"]);
    let table = machine.ok(&["top", "web", "pid", "ppid", "user", "args"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["PID", "PPID", "USER", "COMMAND"]);
    assert!(rows.iter().any(|row| row[..3] == ["1", "0", "1000"] && row.contains(&"sh")), "{table}");
    crate::supervisor::until("its child is there", || {
        let table = machine.ok(&["top", "web", "ppid,args"]);
        table.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["1", "sleep", "1000"])
    });
    assert!(machine.ok(&["top", "-l"]).starts_with("USER"));
    let wrong = machine.run(&["top", "web", "colour"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there is no column colour"), "{wrong:?}");
    machine.ok(&["stop", "-t", "0", "web"]);
    assert_eq!(machine.run(&["top", "web"]).status.code(), Some(1));
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn what_containers_use_is_shown_once_as_a_table_by_template_and_as_json() {
    let Some(machine) = machine() else { return };
    machine.background("web", &["-m", "64m"], &["sh", "-c", "sleep 1000; true"]);
    machine.background("other", &[], &["sleep", "1000"]);
    let table = machine.ok(&["stats", "--no-stream"]);
    assert!(table.starts_with("ID") && table.lines().count() == 3, "{table}");
    let shown = machine.ok(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "web"]);
    assert!(shown.starts_with("web ") && shown.ends_with("/ 67.11MB"), "{shown}");
    let json: Value =
        serde_json::from_str(&machine.ok(&["stats", "--no-stream", "--format", "json", "web"])).unwrap();
    assert_eq!(json[0]["name"], "web");
    for field in
        ["id", "cpu_time", "cpu_percent", "avg_cpu", "mem_usage", "mem_percent", "net_io", "block_io", "pids"]
    {
        assert!(json[0][field].is_string(), "{field}: {json}");
    }
    machine.ok(&["stop", "-t", "0", "other"]);
    assert_eq!(machine.run(&["stats", "--no-stream", "other"]).status.code(), Some(1));
    machine.ok(&["rm", "--all", "--force", "-t", "0"]);
    machine.is_empty();
}

#[test]
fn a_new_name_holds_at_once_and_in_what_is_told_later() {
    let Some(machine) = machine() else { return };
    machine.background("web", &[], &["sleep", "1000"]);
    machine.background("other", &[], &["sleep", "1000"]);
    let taken = machine.run(&["rename", "web", "other"]);
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("other"), "{taken:?}");
    machine.ok(&["rename", "web", "front"]);
    assert_eq!(machine.run(&["inspect", "web"]).status.code(), Some(1));
    assert_eq!(machine.ok(&["exec", "front", "echo", "there"]), "there");
    machine.background("web", &[], &["sleep", "1000"]);
    machine.ok(&["stop", "-t", "0", "front"]);
    let died = machine.ok(&["events", "--stream=false", "--filter", "event=died", "--format", "{{.Name}}"]);
    assert_eq!(died, "front");
    machine.ok(&["rm", "--all", "--force", "-t", "0"]);
    machine.is_empty();
}

#[test]
fn published_ports_are_told_all_one_and_those_of_all() {
    let Some(machine) = machine() else { return };
    if !root() {
        return;
    }
    let network = Network::new();
    let ok = |arguments: &[&str]| {
        let output = network.runner(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let place = machine.root();
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--userns", "host"];
    let ports = ["-p", "8080:80", "-p", "0.0.0.0:5353:53/udp", "-p", "443"];
    let run = |name: &str, flags: &[&str]| {
        let front = ["run", "-d", "--name", name];
        ok(&[&front[..], &limits, flags, &["--rootfs", &place, "sleep", "1000"]].concat())
    };
    let id = run("web", &ports);
    run("plain", &[]);
    let told = ok(&["port", "web"]);
    assert!(told.contains("80/tcp -> 127.0.0.1:8080") && told.contains("53/udp -> 0.0.0.0:5353"), "{told}");
    assert_eq!(ok(&["port", "web", "80"]), "127.0.0.1:8080");
    assert_eq!(ok(&["port", "web", "53/udp"]), "0.0.0.0:5353");
    // Chosen by the machine, and held.
    let chosen: u16 = ok(&["port", "web", "443"]).rsplit(':').next().unwrap().parse().unwrap();
    assert!(network.host.shell(&format!("ss -Hltn 'sport = :{chosen}'")).contains(&chosen.to_string()));
    let all = ok(&["port", "--all"]);
    assert!(all.lines().count() == 3 && all.lines().all(|line| line.starts_with(&id)), "{all}");
    assert_eq!(ok(&["port", "plain"]), "");
    let none = network.runner(&["port", "web", "81"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("publishes no port 81/tcp"), "{none:?}");
    assert_eq!(network.runner(&["port", "web", "x"]).status.code(), Some(2));
    ok(&["rm", "--force", "--time", "0", "--all"]);
}

#[test]
fn only_what_does_not_run_is_pruned_and_a_filter_says_which() {
    let Some(machine) = machine() else { return };
    machine.background("runs", &["--label", "kind=a"], &["sleep", "1000"]);
    let ended = machine.background("ended", &["--label", "kind=a"], &["true"]);
    machine.ok(&["wait", "ended"]);
    machine.until("ended", ".State.Status", "exited");
    let flags = ["--label", "kind=b", "--name", "made"];
    let made = machine.ok(&machine.arguments("create", &flags, &["true"], &machine.root()));
    let prune = |filter: &[&str]| machine.ok(&[&["container", "prune", "--force"][..], filter].concat());
    assert_eq!(prune(&["--filter", "until=1h"]), "", "all are younger");
    // Without the word somebody has to say yes.
    let nobody = machine.run(&["container", "prune"]);
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("say --force"), "{nobody:?}");
    let mut asked = super::Going::start(&machine, &["container", "prune"]);
    std::io::Write::write_all(&mut asked.child.stdin.take().unwrap(), b"n\n").unwrap();
    assert_eq!((asked.line(), asked.code()), (String::new(), Some(0)));
    assert_eq!(machine.ok(&["ps", "--all", "--quiet"]).lines().count(), 3);
    assert_eq!(prune(&["--filter", "label=kind=a"]), ended);
    assert_eq!(prune(&[]), made);
    assert_eq!(machine.ok(&["ps", "--all", "--format", "{{.Names}}"]), "runs");
    machine.ok(&["rm", "--all", "--force", "-t", "0"]);
    machine.is_empty();
}

#[test]
fn what_a_container_changed_is_told_and_not_what_every_start_makes() {
    let Some(image) = super::Image::new() else { return };
    image.ok(&[
        &["run", "--name", "c", "--init"][..],
        &super::NONE,
        &[
            "test:latest",
            "sh",
            "-c",
            "echo x > /srv/new; echo more >> /srv/seed/file; busybox rm /etc/group; mkdir /srv/folder",
        ],
    ]
    .concat());
    let told = image.ok(&["diff", "c"]);
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "A /srv/folder",
            "A /srv/new",
            "C /etc",
            "C /srv",
            "C /srv/seed",
            "C /srv/seed/file",
            "D /etc/group"
        ]
    );
    let json: Value = serde_json::from_str(&image.ok(&["diff", "--format", "json", "c"])).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/etc/group"]));
    assert_eq!(image.0.run(&["diff", "nobody"]).status.code(), Some(1));
}
