//! Further processes in a container.

use std::fs;

use berth_runtime::{RuntimeError, Status};
use serde_json::json;

use crate::{
    bundle::{Bundle, wait},
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    a_further_process_is_in_all_namespaces_and_in_the_group,
    its_code_and_its_signal_are_told,
    what_cannot_be_executed_is_told,
    a_further_process_is_limited_as_it_is_said,
    a_container_that_ended_is_not_entered,
    a_container_that_waits_can_be_entered,
    a_container_with_users_of_its_own_is_entered,
    u16_a_further_process_gets_no_door_to_the_host,
    no_process_is_left_when_entering_fails,
    a_further_process_runs_on_the_processors_that_are_said,
    a_container_whose_root_was_changed_by_chroot_is_entered,
    a_poststart_hook_may_enter_the_container,
    a_container_that_divides_its_own_group_is_entered,
];

const TELL: &str = "for kind in mnt net ipc uts pid cgroup user time; do readlink /proc/self/ns/$kind; done; cat /proc/self/cgroup";

fn a_further_process_is_in_all_namespaces_and_in_the_group() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.add_namespace(json!({"type": "time"}));
    let (container, started) = bundle.start();
    let said = bundle.exec(&container, &bundle.process(TELL)).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    for (kind, inside) in
        ["mnt", "net", "ipc", "uts", "pid", "cgroup", "user", "time"].iter().zip(said.out.lines())
    {
        let theirs = fs::read_link(format!("/proc/{}/ns/{kind}", started.pid)).unwrap();
        assert_eq!(inside, theirs.to_str().unwrap());
    }
    // In its group, which is the top of what its namespace shows.
    assert!(said.out.lines().skip(8).all(|line| line.ends_with(":/")), "{said:?}");
    container.delete(true).unwrap();
}

fn its_code_and_its_signal_are_told() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    assert_eq!(bundle.exec(&container, &bundle.process("exit 42")).unwrap().code, 42);
    assert_eq!(bundle.exec(&container, &bundle.process("kill -TERM $$")).unwrap().code, -15);
    let said = bundle.exec(&container, &bundle.process("pwd; echo $HOME; echo err >&2; id -u")).unwrap();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("/\n/root\n0\n", "err\n"));
    container.delete(true).unwrap();
}

fn what_cannot_be_executed_is_told() {
    let bundle = Bundle::new("sleep 100");
    fs::write(bundle.path("rootfs/bin/plain"), "").unwrap();
    fs::write(bundle.path("rootfs/bin/broken"), [0; 8]).unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(
        &mut fs::metadata(bundle.path("rootfs/bin/broken")).unwrap().permissions(),
        0o755,
    );
    fs::set_permissions(
        bundle.path("rootfs/bin/broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let (container, _started) = bundle.start();
    for (program, wanted) in [
        ("nothing", "nothing: executable file not found in $PATH: No such file or directory (os error 2)"),
        ("/bin/nothing", "/bin/nothing: No such file or directory (os error 2)"),
        ("plain", "plain: Permission denied (os error 13)"),
        ("/etc", "/etc: Permission denied (os error 13)"),
        ("broken", "broken: Exec format error (os error 8)"),
    ] {
        let mut process = bundle.process("");
        process["args"] = json!([program]);
        let error = bundle.exec(&container, &process).unwrap_err();
        assert!(matches!(error, RuntimeError::Exec { .. }), "{error:?}");
        assert_eq!(error.to_string(), wanted);
    }
    container.delete(true).unwrap();
}

fn a_further_process_is_limited_as_it_is_said() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}),
    );
    let (container, _started) = bundle.start();
    let mut process = bundle.process("id; ulimit -n; mkdir /tmp/x; grep -E 'NoNewPrivs|CapEff|CapBnd|Seccomp:' /proc/self/status; cat /proc/self/oom_score_adj");
    process["user"] = json!({"uid": 33, "gid": 34, "additionalGids": [5, 6], "umask": 0o077});
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 60, "hard": 70}]);
    process["oomScoreAdj"] = json!(500);
    let said = bundle.exec(&container, &process).unwrap();
    let wanted = "uid=33(web) gid=34 groups=5,6\n60\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000020\nNoNewPrivs:\t1\nSeccomp:\t2\n500\n";
    assert_eq!(said.out, wanted);
    assert!(said.err.contains("Operation not permitted"), "{said:?}");
    container.delete(true).unwrap();
}

fn a_container_that_ended_is_not_entered() {
    let bundle = Bundle::new("true");
    let (container, started) = bundle.start();
    wait(&started);
    let error = bundle.exec(&container, &bundle.process("true")).unwrap_err();
    assert!(matches!(error, RuntimeError::State { is: Status::Stopped, .. }), "{error}");
    container.delete(false).unwrap();
}

fn a_container_that_waits_can_be_entered() {
    let bundle = Bundle::new("true");
    let (container, _started) = bundle.create().unwrap();
    assert_eq!(bundle.exec(&container, &bundle.process("exit 2")).unwrap().code, 2);
    assert_eq!(container.status().unwrap(), Status::Created);
    container.delete(false).unwrap();
}

fn a_container_with_users_of_its_own_is_entered() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.add_namespace(json!({"type": "user"}));
    let ids = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
    bundle.set("/linux/uidMappings", ids.clone());
    bundle.set("/linux/gidMappings", ids);
    let (container, started) = bundle.start();
    let mut process = bundle.process("id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user");
    process["user"] = json!({"uid": 7, "gid": 0});
    let said = bundle.exec(&container, &process).unwrap();
    let theirs = fs::read_link(format!("/proc/{}/ns/user", started.pid)).unwrap();
    let lines: Vec<&str> = said.out.lines().map(str::trim).collect();
    assert_eq!(lines, ["7", "0     300000       1000", theirs.to_str().unwrap()], "{said:?}");
    container.delete(true).unwrap();
}

fn u16_a_further_process_gets_no_door_to_the_host() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    let host = fs::File::open("/").unwrap();
    for number in 3..20 {
        let mut process = bundle.process("pwd; ls");
        process["cwd"] = json!(format!("/proc/self/fd/{number}"));
        assert!(bundle.exec(&container, &process).is_err(), "{number}");
    }
    drop(host);
    let said =
        bundle.exec(&container, &bundle.process("ls /proc/self/fd | grep -v -x -E '[0-3]'; true")).unwrap();
    // 3 is what ls reads.
    assert_eq!(said.out, "", "{said:?}");
    container.delete(true).unwrap();
}

fn no_process_is_left_when_entering_fails() {
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.start();
    let mut process = bundle.process("true");
    process["args"] = json!(["nothing"]);
    for _ in 0..20 {
        bundle.exec(&container, &process).unwrap_err();
    }
    assert_eq!(container.processes().unwrap(), [started.pid]);
    container.delete(true).unwrap();
}

fn a_further_process_runs_on_the_processors_that_are_said() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    let mut process = bundle.process("grep Cpus_allowed_list /proc/self/status");
    process["execCPUAffinity"] = json!({"initial": "0-1", "final": "0"});
    assert_eq!(bundle.exec(&container, &process).unwrap().out, "Cpus_allowed_list:\t0\n");
    process["execCPUAffinity"] = json!({"initial": "99999"});
    let error = bundle.exec(&container, &process).unwrap_err().to_string();
    assert!(error.contains("process.execCPUAffinity.initial: \"99999\" is no list"), "{error}");
    container.delete(true).unwrap();
}

fn a_container_whose_root_was_changed_by_chroot_is_entered() {
    use berth_runtime::{Create, Stdio};
    let bundle = Bundle::new("sleep 100");
    let spec = bundle.spec();
    let create = Create {
        id: &bundle.id,
        bundle: bundle.folder.path(),
        spec: &spec,
        stdio: Stdio::Inherit,
        preserve_fds: 0,
        no_pivot: true,
        no_new_keyring: false,
        detached: true,
    };
    let (container, _started) = bundle.runtime().create(&create).unwrap();
    container.start().unwrap();
    let said = bundle.exec(&container, &bundle.process("ls /; pwd")).unwrap();
    assert_eq!(said.out, "bin\ndev\netc\nproc\ntmp\n/\n", "{said:?}");
    container.delete(true).unwrap();
}

fn a_poststart_hook_may_enter_the_container() {
    let bundle = Bundle::new("sleep 100");
    let program = crate::driver::program(bundle.folder.path());
    let hook = json!({"path": program, "timeout": 20,
        "args": ["driver", "driver", "exec", bundle.folder.path(), bundle.id.as_str()]});
    let bundle = bundle.with("/hooks", json!({"poststart": [hook]}));
    let (container, _started) = bundle.start();
    assert_eq!(container.status().unwrap(), Status::Running);
    container.delete(true).unwrap();
}

/// As an init system in a container does: its processes go into a group below, which gets the controllers.
fn a_container_that_divides_its_own_group_is_entered() {
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.start();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", started.pid)).unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(std::path::Path::new);
    let folder = own.and_then(|own| {
        tops.iter().map(|top| top.join(own)).find(|group| group.join("cgroup.type").exists())
    });
    let controllers =
        folder.as_ref().map(|folder| fs::read_to_string(folder.join("cgroup.controllers")).unwrap());
    let controller = controllers.as_ref().and_then(|all| all.split_whitespace().next());
    if let (Some(folder), Some(controller)) = (folder, controller) {
        let below = folder.join("init");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("cgroup.procs"), started.pid.to_string()).unwrap();
        fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
        let said = bundle.exec(&container, &bundle.process("grep ^0: /proc/self/cgroup")).unwrap();
        assert_eq!(said.out, "0::/init\n", "{said:?}");
    } else {
        // Nothing can be divided here: version 2 has no controllers on this machine.
        assert!(!std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
    }
    container.delete(true).unwrap();
}
