use std::{fs, path::PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Mount as Mounted};

use super::*;
use crate::record::{Mount, MountKind, NetworkMode, tests::desired};

struct Place {
    folder: tempfile::TempDir,
    folders: Folders,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("root/etc")).unwrap();
    fs::write(folder.path().join("root/etc/passwd"), "root:x:0:0::/root:\nweb:x:33:33::/srv:\n").unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    Place { folder, folders }
}

/// A record that says nothing special, and a root of its own to run in.
fn web() -> Desired {
    let mut web = desired("web", 1);
    web.process.args = vec!["/bin/web".into()];
    web.process.cwd = "/".into();
    web.security.capabilities = capabilities::DEFAULT.map(str::to_owned).to_vec();
    web.limits.shm_size = 64 << 20;
    web
}

impl Place {
    fn build(&self, desired: &Desired) -> Result<Spec> {
        build(&self.folders, desired, &self.folder.path().join("root"))
    }

    fn spec(&self, change: impl FnOnce(&mut Desired)) -> Spec {
        let mut desired = web();
        change(&mut desired);
        self.build(&desired).unwrap()
    }
}

fn mounts(spec: &Spec) -> &[Mounted] {
    spec.mounts().as_deref().unwrap()
}

fn at<'a>(spec: &'a Spec, path: &str) -> &'a Mounted {
    let mut found = mounts(spec).iter().filter(|mount| mount.destination() == Path::new(path));
    let first = found.next().unwrap_or_else(|| panic!("nothing at {path}"));
    assert!(found.next().is_none(), "two mounts at {path}");
    first
}

fn has(mount: &Mounted, option: &str) -> bool {
    mount.options().as_ref().unwrap().iter().any(|word| word == option)
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.into(),
        kind,
        read_only: false,
        options: Vec::new(),
        chown: false,
        relabel: None,
    }
}

fn namespaces_of(spec: &Spec) -> Vec<LinuxNamespaceType> {
    spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap().iter().map(|one| one.typ()).collect()
}

#[test]
fn nothing_said_is_the_safe_thing() {
    let place = place();
    let spec = place.spec(|_| ());
    let (linux, process) = (spec.linux().as_ref().unwrap(), spec.process().as_ref().unwrap());
    assert_eq!(process.no_new_privileges(), Some(true));
    assert_eq!(process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap().len(), 10);
    assert!(linux.seccomp().is_some());
    assert!(linux.masked_paths().as_ref().unwrap().contains(&"/proc/kcore".into()));
    assert!(linux.readonly_paths().as_ref().unwrap().contains(&"/proc/sys".into()));
    assert_eq!(linux.rootfs_propagation().as_deref(), Some("private"));
    assert_eq!(namespaces_of(&spec).len(), 6, "all but users and time, which the record decides");
    assert!(has(at(&spec, "/sys/fs/cgroup"), "ro") && has(at(&spec, "/sys"), "ro"));
    assert!(has(at(&spec, "/dev"), "nosuid") && at(&spec, "/dev").typ().as_deref() == Some("tmpfs"));
    assert!(has(at(&spec, "/dev/shm"), "size=67108864"));
    assert!(spec.hooks().is_none());
    assert_eq!(spec.hostname().as_deref(), Some("010101010101"));
    let env = process.env().as_ref().unwrap();
    for variable in ["HOME=/root", "HOSTNAME=010101010101", "container=oci"] {
        assert!(env.iter().any(|known| known == variable), "{variable}: {env:?}");
    }
    assert!(env.iter().all(|variable| !variable.starts_with("TERM=")));
}

#[test]
fn what_lies_higher_is_mounted_first() {
    let place = place();
    let spec = place.spec(|desired| {
        for path in ["/a/b/c", "/a", "/a/b"] {
            desired.mounts.push(mount(path, MountKind::Tmpfs { size: None, mode: None }));
        }
    });
    let order: Vec<usize> =
        mounts(&spec).iter().map(|mount| mount.destination().components().count()).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn what_is_asked_for_stands_in_place_of_the_usual() {
    let place = place();
    let shm = place.spec(|desired| {
        desired.mounts.push(mount("/dev/shm", MountKind::Tmpfs { size: Some(7), mode: None }))
    });
    assert!(has(at(&shm, "/dev/shm"), "size=7"));
    let all =
        place.spec(|desired| desired.mounts.push(mount("/dev", MountKind::Bind { source: "/dev".into() })));
    assert_eq!(mounts(&all).iter().filter(|mount| mount.destination().starts_with("/dev")).count(), 1);
    assert!(!has(at(&all, "/dev"), "nodev"));
}

#[test]
fn binds_keep_devices_and_setuid_out_and_spread_nothing() {
    let place = place();
    let source = place.folder.path().to_owned();
    let spec =
        place.spec(|desired| desired.mounts.push(mount("/x", MountKind::Bind { source: source.clone() })));
    for option in ["rbind", "rprivate", "nosuid", "nodev", "rw"] {
        assert!(has(at(&spec, "/x"), option), "{option}");
    }
    let mut shared = web();
    let mut bind = mount("/x", MountKind::Bind { source });
    bind.options = vec!["bind".into(), "rshared".into(), "dev".into()];
    bind.read_only = true;
    shared.mounts.push(bind);
    let spec = place.build(&shared).unwrap();
    for (option, wanted) in
        [("rbind", false), ("rprivate", false), ("nodev", false), ("ro", true), ("rshared", true)]
    {
        assert_eq!(has(at(&spec, "/x"), option), wanted, "{option}");
    }
    assert_eq!(spec.linux().as_ref().unwrap().rootfs_propagation().as_deref(), Some("rshared"));
    let gone = place.build(&{
        let mut gone = web();
        gone.mounts.push(mount("/x", MountKind::Bind { source: "/nowhere/at/all".into() }));
        gone
    });
    assert!(matches!(gone, Err(RunnerError::NotFound(_))));
}

fn own_ids(desired: &mut Desired) {
    let map = vec![IdMap { container: 0, host: 1 << 30, size: 65_536 }];
    desired.isolation.user = UserNamespace::Private { uids: map.clone(), gids: map };
}

#[test]
fn files_keep_their_ids_where_the_container_has_others() {
    if !rustix::process::geteuid().is_root() {
        return assert!(std::env::var_os("CI").is_none(), "skipped: only root has id-mapped mounts");
    }
    let place = place();
    let source = place.folder.path().to_owned();
    let spec = place.spec(|desired| {
        own_ids(desired);
        desired.mounts.push(mount("/x", MountKind::Bind { source }));
        desired.mounts.push(mount("/y", MountKind::Bind { source: "/proc/sys".into() }));
    });
    assert!(namespaces_of(&spec).contains(&LinuxNamespaceType::User));
    let bind = at(&spec, "/x");
    assert!(has(bind, "idmap") && bind.uid_mappings().as_ref().unwrap()[0].host_id() == 1 << 30);
    assert!(!has(at(&spec, "/y"), "idmap"), "procfs cannot");
    assert!(has(at(&spec, "/etc/hostname"), "idmap"));
}

/// The table of filesystems, asked from the kernel.
#[test]
fn what_can_be_id_mapped_is_what_the_kernel_maps() {
    use std::os::fd::AsFd;
    if !rustix::process::geteuid().is_root() {
        return assert!(std::env::var_os("CI").is_none(), "skipped: only root has id-mapped mounts");
    }
    let mapping = [namespaces::mapping(0, 1 << 30, 65_536)];
    let namespace = berth_runtime::make_user_namespace(&mapping, &mapping).unwrap();
    let mut asked = 0;
    for path in ["/", "/tmp", "/dev/shm", "/proc", "/sys", "/dev", "/sys/fs/cgroup"].map(PathBuf::from) {
        if path.exists() {
            let kernel = berth_runtime::id_mapped_clone(&path, namespace.as_fd(), false).is_ok();
            // Less than the kernel can is safe; more would not start.
            assert!(!can_be_id_mapped(&path).unwrap() || kernel, "{}", path.display());
            asked += usize::from(kernel);
        }
    }
    assert!(asked > 0, "this kernel maps nothing");
}

#[test]
fn a_namespace_of_its_own_needs_its_own_kernel_filesystems() {
    let place = place();
    let spec = place.spec(|desired| {
        own_ids(desired);
        desired.network.mode = NetworkMode::Host;
        desired.isolation.pid = Namespace::Host;
    });
    assert_eq!(at(&spec, "/sys").typ().as_deref(), Some("bind"));
    assert_eq!(at(&spec, "/proc").typ().as_deref(), Some("bind"));
    assert!(has(at(&spec, "/sys"), "rro"));
    let sysctl = spec.linux().as_ref().unwrap().sysctl().clone().unwrap();
    assert!(sysctl.is_empty(), "the machine's network is not changed: {sysctl:?}");
    assert!(!namespaces_of(&spec).contains(&LinuxNamespaceType::Network));
}

#[test]
fn an_id_that_the_container_lacks_is_named() {
    let place = place();
    let mut desired = web();
    own_ids(&mut desired);
    desired.process.user = "70000".into();
    let error = place.build(&desired).unwrap_err();
    assert!(matches!(&error, RunnerError::Usage(text) if text.contains("70000")), "{error}");
}

#[test]
fn privileged_is_everything_and_users_are_nothing() {
    let place = place();
    let spec = place.spec(|desired| {
        desired.security.privileged = true;
        desired.security.seccomp = Seccomp::Unconfined;
        desired.security.no_new_privileges = false;
    });
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_none() && linux.masked_paths().as_ref().unwrap().is_empty());
    assert!(has(at(&spec, "/sys"), "rw") && has(at(&spec, "/sys/fs/cgroup"), "rw"));
    let user = place.spec(|desired| desired.process.user = "web".into());
    let process = user.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (33, 33));
    assert!(process.capabilities().as_ref().unwrap().effective().as_ref().unwrap().is_empty());
    assert!(process.env().as_ref().unwrap().contains(&"HOME=/srv".to_owned()));
}

#[test]
fn a_root_that_cannot_be_written_has_memory_to_write() {
    let place = place();
    let spec = place.spec(|desired| desired.security.read_only = true);
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    for path in ["/run", "/tmp", "/var/tmp"] {
        assert_eq!(at(&spec, path).typ().as_deref(), Some("tmpfs"));
    }
    let bare = place.spec(|desired| {
        desired.security.read_only = true;
        desired.security.read_only_tmpfs = false;
    });
    assert!(mounts(&bare).iter().all(|mount| mount.destination() != Path::new("/tmp")));
}

#[test]
fn the_small_init_stands_before_the_command_and_cannot_be_written() {
    let place = place();
    let spec = place.spec(|desired| desired.process.init = true);
    let args = spec.process().as_ref().unwrap().args().clone().unwrap();
    let own = format!("{INIT_PATH}/init");
    assert!(args.ends_with(&[own, crate::init::ARGUMENT.into(), "--".into(), "/bin/web".into()]), "{args:?}");
    let init = at(&spec, INIT_PATH);
    assert!(has(init, "ro") && has(init, "nosuid") && !has(init, "idmap"));
    let source = init.source().as_ref().unwrap();
    assert!(source.starts_with(&place.folders.store), "{}", source.display());
    assert_eq!(
        fs::read(source.join("init")).unwrap().len() as u64,
        fs::metadata("/proc/self/exe").unwrap().len()
    );
}

#[test]
fn volumes_and_secrets_are_mounted() {
    let place = place();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    fs::create_dir(place.folder.path().join("root/data")).unwrap();
    fs::write(place.folder.path().join("root/data/seed"), "x").unwrap();
    crate::volume::Volumes::new(&place.folders).create(Some("own"), Default::default(), false).unwrap();
    let secret = crate::secret::Secret {
        name: "key".into(),
        created: jiff::Timestamp::UNIX_EPOCH,
        labels: Default::default(),
    };
    crate::secret::create(&place.folders, &secret, b"hush", false).unwrap();
    let spec = place.spec(|desired| {
        let kind = MountKind::Volume { name: "own".into(), anonymous: false, no_copy: false, subpath: None };
        desired.mounts.push(mount("/data", kind));
        desired
            .mounts
            .push(mount("/run/secrets/key", MountKind::Secret { name: "key".into(), uid, gid, mode: 0o400 }));
        desired.process.secret_env.push(("key".into(), "KEY".into()));
    });
    assert_eq!(
        at(&spec, "/data").source().as_deref(),
        Some(place.folders.volumes().join("own/data").as_path())
    );
    assert!(place.folders.volumes().join("own/data/seed").exists(), "filled from the image");
    let file = at(&spec, "/run/secrets/key").source().clone().unwrap();
    assert_eq!(fs::read(file).unwrap(), b"hush");
    assert!(spec.process().as_ref().unwrap().env().as_ref().unwrap().contains(&"KEY=hush".to_owned()));
    let mut ghost = web();
    ghost.process.secret_env.push(("ghost".into(), "KEY".into()));
    assert!(matches!(place.build(&ghost), Err(RunnerError::NotFound(_))));
}

#[test]
fn u17_nothing_of_an_image_becomes_a_hook_or_an_annotation() {
    let place = place();
    let spec = place.spec(|desired| {
        desired.labels.insert("io.kubernetes.cri-o.hooks".into(), "x".into());
        desired.labels.insert("run.oci.hooks.stdout".into(), "/x".into());
        desired.process.env.push("LD_PRELOAD=/x".into());
    });
    assert!(spec.hooks().is_none());
    assert!(spec.annotations().as_ref().unwrap().is_empty());
}

#[test]
fn namespaces_of_a_container_that_does_not_run_are_not_there() {
    let place = place();
    let mut shares = web();
    shares.isolation.pid = Namespace::Container(desired("other", 2).id);
    let error = place.build(&shares).unwrap_err();
    assert!(matches!(error, RunnerError::Conflict(_)), "{error}");
}
