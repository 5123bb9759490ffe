//! Filters on real processes.

use std::{path::Path, time::Instant};

use rustix::io::Errno;

use super::*;
use crate::sys::testing::in_child;

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
}

#[test]
fn a_filter_that_kills_kills() {
    let mut of = default_profile(&[]);
    of.set_default_action(oci_spec::runtime::LinuxSeccompAction::ScmpActKillProcess);
    let ended = filtered(&of, || format!("{:?}", crate::sys::attributes::new_session_keyring())).unwrap_err();
    assert!(ended.contains("31") || ended.contains("159"), "ended by SIGSYS: {ended}");
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

/// For who wants to know: `cargo test --release ... --ignored --nocapture`.
#[test]
#[ignore = "prints figures and checks nothing"]
fn compiling_beside_loading() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let of = default_profile(&[]);
    let mut out = std::io::stderr();
    for (name, cache) in
        [("compiled", None), ("cached", Some(folder.path())), ("cached", Some(folder.path()))]
    {
        let started = Instant::now();
        for _ in 0..200 {
            Filter::compile(&of, cache).unwrap();
        }
        let each = started.elapsed() / 200;
        writeln!(out, "{name}: {each:?}, {} steps", Filter::compile(&of, cache).unwrap().program.len())
            .unwrap();
    }
    let started = Instant::now();
    for _ in 0..200 {
        std::hint::black_box(default_profile(&[]));
    }
    writeln!(out, "profile made: {:?}", started.elapsed() / 200).unwrap();
}
