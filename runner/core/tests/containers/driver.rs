//! What a caller of the runtime does that is not this test.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use berth_runtime::{Bundle, CgroupDriver, Create, Exec, Runtime, Stdio};

/// `driver create|run|start|exec|delete BUNDLE ID`, and `driver wait`, which only waits for its end.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["wait"] => loop {
            rustix::event::pause();
        },
        [verb, bundle, id] => drive(verb, Path::new(bundle), id),
        _ => Err("driver: create|run|start|exec|delete BUNDLE ID".into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _told = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::from(125)
        }
    }
}

fn drive(verb: &str, folder: &Path, id: &str) -> Result<u8, Box<dyn std::error::Error>> {
    let runtime = Runtime {
        root: folder.join("states"),
        cgroups: CgroupDriver::Folder,
        seccomp_cache: Some(folder.join("filters")),
    };
    let id = id.parse()?;
    if verb == "start" {
        runtime.open(&id)?.start()?;
        return Ok(0);
    }
    if verb == "exec" {
        let container = runtime.open(&id)?;
        let mut process = container.process()?;
        process.set_args(Some(vec!["/bin/true".into()]));
        let started = container.exec(&Exec { process: &process, stdio: Stdio::Inherit, preserve_fds: 0 })?;
        return Ok(ended(&started));
    }
    if verb == "delete" {
        runtime.open(&id)?.delete(true)?;
        return Ok(0);
    }
    let bundle = Bundle::read(folder)?;
    let (container, started) = runtime.create(&Create {
        id: &id,
        bundle: &bundle.folder,
        spec: &bundle.spec,
        stdio: Stdio::Inherit,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        detached: verb == "create",
    })?;
    if verb == "create" {
        return Ok(0);
    }
    container.start()?;
    let code = ended(&started);
    container.delete(true)?;
    Ok(code)
}

fn ended(started: &berth_runtime::Started) -> u8 {
    u8::try_from(crate::bundle::wait(started)).unwrap_or(128)
}

/// The driver as a program of its own, where anybody may execute it.
pub(crate) fn program(folder: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = folder.join("driver");
    if !copy.exists() {
        fs::copy("/proc/self/exe", &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

/// This very program as the driver.
pub(crate) fn command(verb: &str, bundle: &crate::bundle::Bundle) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["driver", verb]).arg(bundle.folder.path()).arg(bundle.id.as_str());
    command
}
