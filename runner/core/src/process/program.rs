//! The program: its environment, its working directory, where it is, and becoming it.

use std::{
    convert::Infallible,
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use oci_spec::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::{During, RuntimeError, sys};

/// Where programs are looked for when the environment does not say it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of an image's `/etc/passwd` is not read.
const PASSWD_LIMIT: u64 = 1024 * 1024;

/// What is executed.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    file: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

fn text(field: &str, value: &str) -> Result<CString, RuntimeError> {
    CString::new(value).map_err(|_| RuntimeError::Spec {
        field: field.to_owned(),
        rule: format!("{value:?} holds a NUL byte"),
    })
}

impl Program {
    /// Finds the program in the container's root, with the rights that this process has now.
    pub(super) fn find(process: &Process) -> Result<Self, RuntimeError> {
        let args = process.args().as_deref().unwrap_or_default();
        let name = args.first().ok_or_else(|| RuntimeError::Spec {
            field: "process.args".into(),
            rule: "names no program".into(),
        })?;
        let mut env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|variable| variable.starts_with("HOME=")) {
            env.push(format!("HOME={}", home(process.user().uid())?));
        }
        let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let file =
            look_up(name, path).map_err(|source| RuntimeError::Exec { program: name.clone(), source })?;
        Ok(Self {
            file: CString::new(file.as_os_str().as_bytes())
                .map_err(io::Error::other)
                .during(|| format!("naming the program {}", file.display()))?,
            args: args.iter().map(|arg| text("process.args", arg)).collect::<Result<_, _>>()?,
            env: env.iter().map(|variable| text("process.env", variable)).collect::<Result<_, _>>()?,
            name: name.clone(),
        })
    }

    /// Becomes it.
    pub(super) fn exec(&self) -> Result<Infallible, RuntimeError> {
        sys::exec::reset_signals().during(|| "giving signals their default effect".into())?;
        let source = sys::exec::execve(&self.file, &self.args, &self.env);
        Err(RuntimeError::Exec { program: self.name.clone(), source })
    }
}

/// As execvp: a name with a slash is a path, any other is looked for along `path`. That something of the name may not
/// be executed is told only where nothing else is found.
fn look_up(name: &str, path: &str) -> io::Result<PathBuf> {
    if name.is_empty() {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()));
    }
    if name.contains('/') {
        return executable(Path::new(name)).map(|()| name.into());
    }
    let mut refused = io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error());
    for folder in path.split(':') {
        // An empty entry is the working directory.
        let candidate = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = error,
            // Not here, or the entry is no folder.
            Err(_) => {}
        }
    }
    Err(refused)
}

fn executable(file: &Path) -> io::Result<()> {
    let found = fs::metadata(file)?;
    if found.is_dir() {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error()));
    }
    Ok(accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// The user's home in the container's `/etc/passwd`; `/` where it is not there.
fn home(uid: u32) -> Result<String, RuntimeError> {
    use rustix::{
        fs::{Mode, OFlags, open},
        io::Errno,
    };
    // Not blocking, for the case of a fifo.
    let file = match open("/etc/passwd", OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => {
            return Ok("/".into());
        }
        Err(error) => return Err(error).during(|| "opening /etc/passwd in the container for HOME".into()),
    };
    // An image can put anything there, a fifo or a file of any size; only a plain file is read, up to the limit.
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Ok("/".into());
    }
    let mut passwd = Vec::new();
    file.take(PASSWD_LIMIT)
        .read_to_end(&mut passwd)
        .during(|| "reading /etc/passwd in the container for HOME".into())?;
    Ok(home_in(&passwd, uid).unwrap_or_else(|| "/".into()))
}

fn home_in(passwd: &[u8], uid: u32) -> Option<String> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let home = fields.get(5).filter(|home| home.starts_with(b"/"))?;
        (fields.get(2)? == &uid.as_bytes()).then(|| String::from_utf8_lossy(home).into_owned())
    })
}

/// Goes to the working directory while this process is still privileged; `make`: where it is missing it is made. A
/// user's own folder on a network filesystem may refuse root (`false`): [`enter_as_user`] tries again.
pub(super) fn enter_as_root(cwd: &Path, make: bool) -> Result<bool, RuntimeError> {
    match if make { fs::create_dir_all(cwd) } else { Ok(()) } {
        Ok(()) => {}
        // On a read-only root a missing folder stays missing, and the next step names it.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error).during(|| format!("making the working directory {}", cwd.display())),
    }
    match rustix::process::chdir(cwd) {
        Err(rustix::io::Errno::ACCESS) => Ok(false),
        other => other.map(|()| true).during(|| format!("entering the working directory {}", cwd.display())),
    }
}

/// Goes to the working directory as the user, where root could not, and makes sure that it lies inside the root.
pub(super) fn enter_as_user(cwd: &Path, entered: bool) -> Result<(), RuntimeError> {
    if !entered {
        rustix::process::chdir(cwd).during(|| format!("entering the working directory {}", cwd.display()))?;
    }
    verify_inside(cwd)
}

/// A directory that is not below this process's root has no path: the kernel says "(unreachable)", or an error. A
/// working directory like that came from a descriptor that leaked, and would be a door to the host.
fn verify_inside(cwd: &Path) -> Result<(), RuntimeError> {
    let outside = || RuntimeError::Spec {
        field: "process.cwd".into(),
        rule: format!("{} is not inside the container's root", cwd.display()),
    };
    let now = rustix::process::getcwd(Vec::new()).map_err(|_| outside())?;
    let here = Path::new(OsStr::from_bytes(now.to_bytes()));
    if here.is_absolute() { Ok(()) } else { Err(outside()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_user_is_the_sixth_field() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/srv/web:/bin/false\nrel:x:34:34::rel:/bin/sh";
        assert_eq!(home_in(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_in(passwd, 33).as_deref(), Some("/srv/web"));
        assert_eq!(home_in(passwd, 34), None, "a home that is not absolute is none");
        assert_eq!(home_in(passwd, 35), None);
    }

    #[test]
    fn programs_are_found_along_the_path_and_folders_are_none() {
        assert!(look_up("sh", "/nowhere:/bin").unwrap().ends_with("bin/sh"));
        assert_eq!(look_up("sh", "/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(look_up("bin", "/usr").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(look_up("/etc/passwd", "").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(look_up("", "/bin").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
