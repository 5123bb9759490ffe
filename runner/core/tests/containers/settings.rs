//! What a configuration says about a process, asked from inside.

use std::{fs, os::fd::AsFd};

use serde_json::json;

use crate::{
    bundle::{Bundle, wait},
    harness::{Test, tests, until},
};

pub(crate) const TESTS: &[Test] = tests![
    the_host_has_the_name_that_is_said,
    kernel_parameters_of_its_namespaces_are_set,
    limits_of_resources_are_set,
    the_memory_score_is_set,
    scheduling_and_personality_are_set,
    the_user_and_its_groups_are_set,
    without_capabilities_there_are_none,
    no_new_privileges_is_as_it_is_said,
    a_filter_is_installed_with_and_without_no_new_privileges,
    u16_the_working_directory_is_made_and_lies_inside,
    u15_the_home_is_that_of_a_small_passwd,
    signals_have_their_default_effect,
    nothing_of_the_callers_is_open,
    descriptors_that_are_to_be_kept_are_kept,
    pipes_can_be_opened_by_name,
];

fn the_host_has_the_name_that_is_said() {
    let bundle = Bundle::new("hostname; cat /proc/sys/kernel/domainname")
        .with("/hostname", json!("box"))
        .with("/domainname", json!("inside.example"));
    assert_eq!(bundle.run().out, "box\ninside.example\n");
}

fn kernel_parameters_of_its_namespaces_are_set() {
    let bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax")
        .with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel/msgmax": "4242"}));
    let own = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    assert_eq!(bundle.run().out, "1\n4242\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), own);
}

fn limits_of_resources_are_set() {
    let bundle = Bundle::new("ulimit -n; ulimit -Hn; ulimit -c; ulimit -s").with(
        "/process/rlimits",
        json!([
            {"type": "RLIMIT_NOFILE", "soft": 33, "hard": 44},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_STACK", "soft": 1_048_576, "hard": 2_097_152},
        ]),
    );
    assert_eq!(bundle.run().out, "33\n44\n0\n1024\n");
}

fn the_memory_score_is_set() {
    let bundle = Bundle::new("cat /proc/self/oom_score_adj").with("/process/oomScoreAdj", json!(321));
    assert_eq!(bundle.run().out, "321\n");
    assert_eq!(
        fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(),
        "0",
        "the caller keeps its own"
    );
}

fn scheduling_and_personality_are_set() {
    let bundle = Bundle::new("set -- $(cat /proc/self/stat); echo ${19}; cat /proc/self/personality")
        .with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}))
        .with("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
        .with("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(bundle.run().out, "7\n00000008\n");
}

fn the_user_and_its_groups_are_set() {
    let bundle = Bundle::new("id; touch /tmp/x; stat -c %a /tmp/x; echo $HOME")
        .with("/process/user", json!({"uid": 33, "gid": 44, "additionalGids": [55, 66], "umask": 0o027}));
    assert_eq!(bundle.run().out, "uid=33(web) gid=44 groups=55,66\n640\n/srv/web\n");
    let bundle = Bundle::new("id -G");
    assert_eq!(bundle.run().out, "0\n", "the caller's groups are not the container's");
}

fn without_capabilities_there_are_none() {
    let mut bundle = Bundle::new("grep -E '^Cap' /proc/self/status");
    bundle.set("/process/capabilities", json!(null));
    let none = "0000000000000000";
    assert_eq!(
        bundle.run().out,
        format!("CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n")
    );
    // What is ambient outlives the change of user and exec.
    let sets = json!(["CAP_NET_BIND_SERVICE"]);
    let bundle = Bundle::new("grep -E '^Cap' /proc/self/status").with("/process/user", json!({"uid": 33, "gid": 33})).with(
        "/process/capabilities",
        json!({"bounding": sets, "effective": sets, "permitted": sets, "inheritable": sets, "ambient": sets}),
    );
    let one = "0000000000000400";
    assert_eq!(
        bundle.run().out,
        format!("CapInh:\t{one}\nCapPrm:\t{one}\nCapEff:\t{one}\nCapBnd:\t{one}\nCapAmb:\t{one}\n")
    );
}

fn no_new_privileges_is_as_it_is_said() {
    for (value, wanted) in [(true, "NoNewPrivs:\t1\n"), (false, "NoNewPrivs:\t0\n")] {
        let bundle =
            Bundle::new("grep NoNewPrivs /proc/self/status").with("/process/noNewPrivileges", json!(value));
        assert_eq!(bundle.run().out, wanted);
    }
}

fn a_filter_is_installed_with_and_without_no_new_privileges() {
    // Nothing but what programs need after the filter: the runtime's own last steps are few.
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat", "accept", "accept4", "socket", "recvmsg", "chdir", "setuid", "setresuid", "setgroups"],
         "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]});
    for (value, user) in [(true, 0), (false, 0), (true, 33), (false, 33)] {
        let bundle = Bundle::new("mkdir /tmp/x; grep Seccomp: /proc/self/status")
            .with("/linux/seccomp", filter.clone())
            .with("/process/user", json!({"uid": user, "gid": user}))
            .with("/process/noNewPrivileges", json!(value));
        let said = bundle.run();
        assert_eq!(said.out, "Seccomp:\t2\n", "{said:?}");
        assert!(said.err.contains("Operation not permitted"), "{said:?}");
    }
}

fn u16_the_working_directory_is_made_and_lies_inside() {
    let bundle = Bundle::new("pwd").with("/process/cwd", json!("/srv/new"));
    assert_eq!(bundle.run().out, "/srv/new\n");
    assert!(bundle.path("rootfs/srv/new").is_dir());
    // A link is followed, but not out of the root.
    let bundle = Bundle::new("pwd -P").with("/process/cwd", json!("/link"));
    std::os::unix::fs::symlink("../../../etc", bundle.path("rootfs/link")).unwrap();
    assert_eq!(bundle.run().out, "/etc\n");
    assert!(!bundle.path("rootfs/etc/link").exists());
    let _host = fs::File::open("/").unwrap();
    for number in 3..24 {
        let bundle = Bundle::new("pwd; ls").with("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let error = bundle.create().unwrap_err().to_string();
        assert!(error.contains(&format!("/proc/self/fd/{number}")), "{error}");
    }
    // A user's folder that root may enter and the user may not is no error of the runtime.
    let bundle = Bundle::new("pwd")
        .with("/process/cwd", json!("/private"))
        .with("/process/user", json!({"uid": 33, "gid": 33}));
    fs::create_dir(bundle.path("rootfs/private")).unwrap();
    assert_eq!(bundle.run().out, "/private\n");
}

fn u15_the_home_is_that_of_a_small_passwd() {
    let script = "echo $HOME";
    let mut bundle = Bundle::new(script);
    bundle.set("/process/env", json!(["PATH=/bin", "HOME=/own"]));
    assert_eq!(bundle.run().out, "/own\n");
    let bundle = Bundle::new(script).with("/process/user", json!({"uid": 77, "gid": 0}));
    assert_eq!(bundle.run().out, "/\n");
    let bundle = Bundle::new(script);
    let huge = format!("{}\nroot:x:0:0::/late:/bin/sh\n", "x".repeat(2 << 20));
    fs::write(bundle.path("rootfs/etc/passwd"), huge).unwrap();
    assert_eq!(bundle.run().out, "/\n", "what lies beyond 1 MiB is not read");
    let bundle = Bundle::new(script);
    fs::remove_file(bundle.path("rootfs/etc/passwd")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bundle.path("rootfs/etc/passwd"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    assert_eq!(bundle.run().out, "/\n", "a fifo is not waited for");
}

fn signals_have_their_default_effect() {
    // Without a shell, which ignores some of its own.
    let said = Bundle::new("")
        .with("/process/args", json!(["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]))
        .run();
    // This program itself ignores SIGPIPE, as every Rust program.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = own.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_ne!(u64::from_str_radix(ignored, 16).unwrap() & 0x1000, 0);
    assert_eq!(said.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

fn nothing_of_the_callers_is_open() {
    let file = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let said = Bundle::new("ls /proc/self/fd").run();
    // 3 is what ls reads.
    assert_eq!(said.out, "0\n1\n2\n3\n");
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.create().unwrap();
    until("a container that waits holds its input, output, error and the socket for the start", || {
        fs::read_dir(format!("/proc/{}/fd", started.pid)).unwrap().count() == 4
    });
    container.delete(false).unwrap();
}

fn descriptors_that_are_to_be_kept_are_kept() {
    use berth_runtime::{Create, Stdio};
    let bundle = Bundle::new("cat <&3; ls /proc/self/fd");
    fs::write(bundle.path("gift"), "gift\n").unwrap();
    // Where this program has more open than that, the number after them is told to be closed.
    let gift = fs::File::open(bundle.path("gift")).unwrap();
    let output = fs::File::create(bundle.path("out")).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let mut create = Create {
        id: &bundle.id,
        bundle: bundle.folder.path(),
        spec: &bundle.spec(),
        stdio: Stdio::Files([null.as_fd(), output.as_fd(), output.as_fd()]),
        preserve_fds: 1,
        no_pivot: false,
        no_new_keyring: false,
        detached: true,
    };
    assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&gift), 3, "the harness keeps nothing open");
    let (container, started) = bundle.runtime().create(&create).unwrap();
    container.start().unwrap();
    assert_eq!(wait(&started), 0);
    assert_eq!(fs::read_to_string(bundle.path("out")).unwrap(), "gift\n0\n1\n2\n3\n4\n");
    container.delete(false).unwrap();
    create.preserve_fds = 900;
    let error = bundle.runtime().create(&create).unwrap_err().to_string();
    assert!(error.contains("keeping 900 descriptors for the process: descriptor "), "{error}");
}

fn pipes_can_be_opened_by_name() {
    use berth_runtime::Stdio;
    use std::io::Read;
    let bundle = Bundle::new("echo hi > /dev/stdout").with("/process/user", json!({"uid": 33, "gid": 33}));
    let (mut read, write) = std::io::pipe().unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let (container, started) =
        bundle.create_with(Stdio::Files([null.as_fd(), write.as_fd(), null.as_fd()])).unwrap();
    drop(write);
    container.start().unwrap();
    let mut said = String::new();
    read.read_to_string(&mut said).unwrap();
    assert_eq!((wait(&started), said.as_str()), (0, "hi\n"));
    container.delete(false).unwrap();
}
