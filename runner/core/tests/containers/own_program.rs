//! CVE-2019-5736: a container cannot write the program file of the runtime that entered it.

use std::fs;

use serde_json::json;

use crate::{
    bundle::Bundle,
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    the_runtimes_program_cannot_be_written_from_a_container,
    the_runtime_hides_while_it_enters_a_container
];

fn the_runtimes_program_cannot_be_written_from_a_container() {
    // The container has this very program executed in it, as it could by `#!/proc/self/exe`, holds its file, waits until
    // nobody executes it any more in there, and writes. Everything that could keep it from that is given away: it is
    // root of the host, with all namespaces but one shared.
    let mut bundle = Bundle::new("").with("/process/args", json!(["/proc/self/exe", "driver", "wait"]));
    bundle.set("/linux/namespaces", json!([{"type": "mount"}]));
    for folder in ["/lib", "/lib64", "/usr/lib"] {
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({"destination": folder, "type": "none", "source": folder, "options": ["rbind", "ro"]}),
        );
    }
    let sets = json!(["CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER"]);
    bundle.set("/process/capabilities", json!({"bounding": sets, "effective": sets, "permitted": sets}));
    let (container, started) = bundle.start();
    let script = format!(
        "exec 9</proc/{0}/exe; kill -KILL {0}; while ! grep -q 'State:.Z' /proc/{0}/status; do :; done; \
         echo x 2>&1 >/proc/self/fd/9; chmod 777 /proc/self/fd/9 2>&1",
        started.pid
    );
    let said = bundle.exec(&container, &bundle.process(&script)).unwrap();
    assert!(
        said.out.contains("/proc/self/fd/9: Read-only file system")
            || said.err.contains("Read-only file system"),
        "{said:?}"
    );
    assert!(said.out.contains("chmod: /proc/self/fd/9: Read-only file system"), "{said:?}");
    container.delete(true).unwrap();
    assert!(fs::metadata("/proc/self/exe").is_ok());
}

fn the_runtime_hides_while_it_enters_a_container() {
    // Before exec the process that waits for its start is the runtime: its files are root's and nobody else's.
    let bundle = Bundle::new("true").with("/process/user", json!({"uid": 33, "gid": 33}));
    let (container, started) = bundle.create().unwrap();
    let owner =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/exe", started.pid)).unwrap());
    assert_eq!(owner, 0, "a process that can be traced has files of its user's");
    container.delete(true).unwrap();
}
