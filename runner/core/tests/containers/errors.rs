//! What fails is named, and leaves nothing.

use berth_runtime::RuntimeError;
use serde_json::{Value, json};

use crate::{
    bundle::Bundle,
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    each_step_that_fails_is_named_and_leaves_nothing,
    a_program_that_is_not_there_is_told_at_creation,
    every_fault_of_a_bundle_is_told_at_once,
    a_memory_limit_that_is_too_small_is_told_as_such,
];

fn refused(bundle: &Bundle) -> String {
    let error = bundle.create().unwrap_err();
    assert!(matches!(bundle.runtime().open(&bundle.id), Err(RuntimeError::NotFound(_))), "{error}");
    error.to_string()
}

fn each_step_that_fails_is_named_and_leaves_nothing() {
    let namespace = |kind: &str, path: &str| json!({"type": kind, "path": path});
    let cases: [(&str, Value, &str); 12] = [
        ("/root/path", json!("nowhere"), "nowhere"),
        (
            "/mounts/4",
            json!({"destination": "/a", "type": "none", "source": "/nowhere", "options": ["bind"]}),
            "/nowhere",
        ),
        ("/mounts/4", json!({"destination": "/a", "type": "nofs", "source": "x"}), "nofs"),
        (
            "/linux/sysctl",
            json!({"net.ipv4.nothing": "1"}),
            "setting the kernel parameter net.ipv4.nothing to \"1\"",
        ),
        (
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "x"}),
            "setting the kernel parameter net.ipv4.ip_forward",
        ),
        ("/linux/namespaces/6", namespace("time", "/nowhere"), "opening the time namespace /nowhere"),
        ("/process/cwd", json!("/etc/passwd/x"), "making the working directory /etc/passwd/x"),
        ("/process/cwd", json!("/etc/passwd"), "/etc/passwd"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 99_999_999}]),
            "setting RLIMIT_NOFILE to 1:99999999",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FIFO", "priority": 100}),
            "setting process.scheduler SCHED_FIFO",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "priority": -1}),
            "process.scheduler.priority: -1 is negative",
        ),
        ("/linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
    ];
    for (pointer, value, wanted) in cases {
        let told = refused(&Bundle::new("true").with(pointer, value));
        assert!(told.contains(wanted), "{pointer}: {told}");
    }
}

fn a_program_that_is_not_there_is_told_at_creation() {
    for (program, wanted) in [
        ("nothing", "nothing: executable file not found in $PATH: No such file or directory (os error 2)"),
        ("/bin/nothing", "/bin/nothing: No such file or directory (os error 2)"),
        ("/etc/passwd", "/etc/passwd: Permission denied (os error 13)"),
    ] {
        let bundle = Bundle::new("").with("/process/args", json!([program]));
        assert_eq!(refused(&bundle), wanted);
    }
    // What only exec can know is told by the start.
    let bundle = Bundle::new("").with("/process/args", json!(["/bin/broken"]));
    std::fs::write(bundle.path("rootfs/bin/broken"), [0; 8]).unwrap();
    std::fs::set_permissions(
        bundle.path("rootfs/bin/broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let (container, _started) = bundle.create().unwrap();
    let error = container.start().unwrap_err();
    assert!(matches!(error, RuntimeError::Exec { .. }), "{error:?}");
    assert_eq!(error.to_string(), "/bin/broken: Exec format error (os error 8)");
    container.delete(false).unwrap();
}

fn every_fault_of_a_bundle_is_told_at_once() {
    let bundle = Bundle::new("true").with("/process/cwd", json!("x")).with("/ociVersion", json!("3"));
    bundle.write();
    let error = berth_runtime::Bundle::read(bundle.folder.path()).unwrap_err();
    let RuntimeError::Specs(faults) = &error else { panic!("{error}") };
    assert_eq!(
        faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(),
        ["ociVersion", "process.cwd"]
    );
    std::fs::write(bundle.path("config.json"), "{\"process\": 1}").unwrap();
    let error = berth_runtime::Bundle::read(bundle.folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json: ") && error.contains("line 1"), "{error}");
    std::fs::remove_file(bundle.path("config.json")).unwrap();
    let error = berth_runtime::Bundle::read(bundle.folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json: No such file"), "{error}");
}

fn a_memory_limit_that_is_too_small_is_told_as_such() {
    let bundle = Bundle::new("true").with("/linux/resources", json!({"memory": {"limit": 4096}}));
    let told = refused(&bundle);
    assert!(told.contains("a memory limit of 4096 bytes: ") && told.contains("raise the limit"), "{told}");
}
