//! Filters on real processes.

use std::path::Path;

use rustix::io::Errno;

use super::*;
use crate::sys::testing::{alone, in_child};

/// Answers what a copy of this process says that has the filter.
fn filtered(
    profile: &LinuxSeccomp,
    work: impl FnOnce() -> String + std::panic::UnwindSafe,
) -> Result<String, String> {
    let filter = Filter::compile(profile, None).unwrap();
    in_child(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        filter.install().unwrap();
        work()
    })
}

/// What a process with the profile is answered, by the names of the calls.
fn answers(of: &LinuxSeccomp) -> Vec<(&'static str, Option<i32>)> {
    let said = filtered(of, || {
        use rustix::{fs, mount, net, process};
        let code = |error: Option<Errno>| error.map_or(0, Errno::raw_os_error);
        let family = |number: u16| {
            let family = net::AddressFamily::from_raw(number);
            code(net::socket(family, net::SocketType::STREAM, None).err())
        };
        let keyring =
            crate::sys::attributes::new_session_keyring().err().and_then(|error| error.raw_os_error());
        let answers = [
            code(fs::stat("/").err()),
            code(process::chroot("/").err()),
            code(mount::unmount("/nowhere", mount::UnmountFlags::empty()).err()),
            code(
                fs::openat2(fs::CWD, "/", fs::OFlags::PATH, fs::Mode::empty(), fs::ResolveFlags::empty())
                    .err(),
            ),
            family(1),
            family(38),
            family(40),
            keyring.unwrap_or(0),
        ];
        answers.map(|answer| answer.to_string()).join(" ")
    })
    .unwrap();
    let names = ["stat", "chroot", "umount2", "openat2", "unix", "alg", "vsock", "keyctl"];
    let answers = said.split(' ').map(|text| text.parse::<i32>().ok().filter(|code| *code != 0));
    names.into_iter().zip(answers).collect()
}

#[test]
fn the_default_profile_refuses_what_it_says() {
    alone(|| {
        let (eperm, unknown) = (Some(1), Some(97));
        assert_eq!(
            answers(&default_profile(&[])),
            [
                ("stat", None),
                ("chroot", eperm),
                ("umount2", eperm),
                ("openat2", None),
                ("unix", None),
                ("alg", unknown),
                ("vsock", unknown),
                ("keyctl", eperm),
            ]
        );
    });
}

#[test]
fn a_filter_that_kills_kills() {
    alone(|| {
        let mut of = default_profile(&[]);
        of.set_default_action(oci_spec::runtime::LinuxSeccompAction::ScmpActKillProcess);
        let ended =
            filtered(&of, || format!("{:?}", crate::sys::attributes::new_session_keyring())).unwrap_err();
        assert!(ended.contains("31") || ended.contains("159"), "ended by SIGSYS: {ended}");
    });
}

#[test]
fn a_filter_from_the_cache_is_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let of = default_profile(&["CAP_SYS_CHROOT"]);
    let [first, second] = [(); 2].map(|()| Filter::compile(&of, Some(folder.path())).unwrap());
    let cells =
        |filter: &Filter| filter.program.iter().map(|s| (s.code, s.jt, s.jf, s.k)).collect::<Vec<_>>();
    assert_eq!(cells(&first), cells(&second));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // A folder that is not there costs the time of a compilation and nothing else.
    let without = Filter::compile(&of, Some(Path::new("/nowhere/at/all"))).unwrap();
    assert_eq!(cells(&first), cells(&without));
}

const PYTHON: &str = "
import asyncio, ctypes, mmap, multiprocessing, os, select, signal, socket, sqlite3, subprocess, tempfile, threading, time
a, b = socket.socketpair(); a.send(b'x'); b.recv(1)
s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); c.close()
t = threading.Thread(target=time.sleep, args=(0.01,)); t.start(); t.join()
assert subprocess.run(['true']).returncode == 0
with multiprocessing.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
m = mmap.mmap(-1, 4096); m.write(b'x'); m.close()
asyncio.run(asyncio.sleep(0.01))
d = sqlite3.connect(':memory:'); d.execute('create table t (x)')
os.getrandom(8); os.sched_getaffinity(0); os.memfd_create('x'); os.pidfd_open(os.getpid())
signal.setitimer(signal.ITIMER_REAL, 10)
assert os.sysconf('SC_NPROCESSORS_ONLN') > 0
";

const GIT: &str = "cd \"$1\" && git init -q . && echo x >f && git add f && git -c user.name=x -c user.email=x@y commit -qm x \
                   && git gc -q && git log -1 --format=%s";

/// Programs of this machine behave with the default profile as they do without.
#[test]
fn programs_that_are_here_run_with_the_default_profile() {
    alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        let initdb = "set -- /usr/lib/postgresql/*/bin/initdb \"$1\"; [ -x \"$1\" ] || exit 0; mkdir \"$2/pg\"; chmod 711 \"$2\"; \
                  chown 65534 \"$2/pg\"; exec setpriv --reuid 65534 --clear-groups \"$1\" -D \"$2/pg\" >/dev/null";
        let node = "const {Worker} = require('worker_threads'); require('child_process').execSync('true'); \
                require('fs').watch('/tmp').close(); new Worker('setTimeout(()=>{}, 1)', {eval: true})";
        let programs: [(&str, &[&str]); 9] = [
            ("sh", &["-c", "ls -lR /etc 2>/dev/null | sort | head -n 5 | wc -l"]),
            (
                "sh",
                &[
                    "-c",
                    "tar cf - /etc/hosts 2>/dev/null | tar xf - -C \"$1\" && test -s \"$1/etc/hosts\"",
                    "sh",
                    at,
                ],
            ),
            ("sh", &["-c", GIT, "sh", at]),
            ("python3", &["-c", PYTHON]),
            ("node", &["-e", node]),
            ("apt-get", &["-qq", "--simulate", "-o", "Debug::NoLocking=1", "install", "hello"]),
            ("apt-cache", &["policy", "bash"]),
            ("ping", &["-c", "1", "127.0.0.1"]),
            ("sh", &["-c", initdb, "sh", at]),
        ];
        let filter = Filter::compile(&default_profile(&["CAP_NET_RAW"]), None).unwrap();
        for (program, arguments) in programs {
            let mut run = std::process::Command::new(program);
            run.args(arguments).stdin(std::process::Stdio::null());
            let clean = || {
                for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                    let _ =
                        std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
                }
            };
            let Ok(free) = run.output() else { continue };
            clean();
            let filtered = in_child(std::panic::AssertUnwindSafe(|| {
                rustix::thread::set_no_new_privs(true).unwrap();
                filter.install().unwrap();
                let output = run.output().unwrap();
                format!("{:?} {}", output.status.code(), String::from_utf8_lossy(&output.stderr))
            }));
            clean();
            let filtered = filtered.unwrap();
            assert!(
                filtered.starts_with(&format!("{:?} ", free.status.code())),
                "{program} {arguments:?}: {:?} without and {filtered} with the filter",
                free.status.code()
            );
        }
    });
}
