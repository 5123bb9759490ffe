//! A bundle: a folder with `config.json`, read and checked with every fault at once.

mod ids;
mod process;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use crate::{
    During, RuntimeError, SpecFault,
    process::{hooks::Kind, sysctl},
};

/// The version of the specification that is spoken.
pub(crate) const OCI_VERSION: &str = "1.2.0";
/// The longest name of a host that the kernel takes.
const HOST_NAME_LIMIT: usize = 64;

/// A bundle on disk.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// What `config.json` says.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `config.json` of a folder and checks what can be checked before anything is made. Fields that are not
    /// known are not looked at, as the specification wants.
    ///
    /// # Errors
    /// [`RuntimeError::Spec`] and [`RuntimeError::Specs`] for what is wrong in it, [`RuntimeError::Step`] where it
    /// cannot be read.
    pub fn read(folder: &Path) -> Result<Self, RuntimeError> {
        let folder =
            fs::canonicalize(folder).during(|| format!("finding the bundle {}", folder.display()))?;
        let file = folder.join("config.json");
        let text = fs::read(&file).during(|| format!("reading {}", file.display()))?;
        let spec = serde_json::from_slice(&text)
            .map_err(io::Error::from)
            .during(|| format!("reading {}", file.display()))?;
        check(&spec)?;
        Ok(Self { folder, spec })
    }
}

/// What is wrong, collected.
#[derive(Debug, Default)]
struct Faults(Vec<SpecFault>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(SpecFault { field: field.into(), rule: rule.into() });
    }

    fn unless(&mut self, fine: bool, field: impl Into<String>, rule: impl Into<String>) {
        if !fine {
            self.add(field, rule);
        }
    }
}

/// Checks a configuration as a whole.
pub(crate) fn check(spec: &Spec) -> Result<(), RuntimeError> {
    let mut faults = Faults::default();
    version(spec, &mut faults);
    root(spec, &mut faults);
    match spec.process() {
        None => faults.add("process", "is missing: a container needs a program"),
        Some(process) => {
            self::process::check(process, &mut faults);
            ids::check_user(spec, process, &mut faults);
        }
    }
    namespaces(spec, &mut faults);
    ids::check_mappings(spec, &mut faults);
    host(spec, &mut faults);
    mounts(spec, &mut faults);
    hooks(spec, &mut faults);
    parameters(spec, &mut faults);
    not_built(spec, &mut faults);
    RuntimeError::of_faults(faults.0)
}

/// Checks a process that is added to a container.
pub(crate) fn check_process(wanted: &Process) -> Result<(), RuntimeError> {
    let mut faults = Faults::default();
    process::check(wanted, &mut faults);
    RuntimeError::of_faults(faults.0)
}

/// The path of a namespace that is joined; an empty one counts as none, as callers write it.
fn has(spec: &Spec, kind: LinuxNamespaceType) -> Option<Option<&Path>> {
    let namespaces =
        spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let found = namespaces.iter().find(|namespace| namespace.typ() == kind)?;
    Some(found.path().as_deref().filter(|path| !path.as_os_str().is_empty()))
}

fn version(spec: &Spec, faults: &mut Faults) {
    let text = spec.version();
    let numbers: Vec<Option<u64>> =
        text.split(['-', '+']).next().unwrap_or_default().split('.').map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => {}
        [Some(_), Some(_), Some(_)] => faults.add("ociVersion", format!("{text} is not supported: 1.x is")),
        _ => faults.add("ociVersion", format!("{text:?} is not a version such as {OCI_VERSION}")),
    }
}

fn root(spec: &Spec, faults: &mut Faults) {
    match spec.root() {
        None => faults.add("root", "is missing"),
        Some(root) => faults.unless(!root.path().as_os_str().is_empty(), "root.path", "is empty"),
    }
}

fn namespaces(spec: &Spec, faults: &mut Faults) {
    let namespaces =
        spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let mut seen = Vec::new();
    for (at, namespace) in namespaces.iter().enumerate() {
        let kind = namespace.typ();
        faults.unless(
            !seen.contains(&kind),
            format!("linux.namespaces[{at}]"),
            format!("{kind} is there twice"),
        );
        seen.push(kind);
        if let Some(path) = namespace.path()
            && !path.as_os_str().is_empty()
        {
            faults.unless(
                path.is_absolute(),
                format!("linux.namespaces[{at}].path"),
                format!("{} is not absolute", path.display()),
            );
        }
    }
    faults.unless(
        seen.contains(&LinuxNamespaceType::Mount),
        "linux.namespaces",
        "has no mount namespace: the container's mounts would be the machine's",
    );
    let offsets = spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return };
    faults.unless(
        has(spec, LinuxNamespaceType::Time) == Some(None),
        "linux.timeOffsets",
        "needs a new time namespace in linux.namespaces",
    );
    for (clock, offset) in offsets {
        let field = format!("linux.timeOffsets.{clock}");
        faults.unless(
            matches!(clock.as_str(), "monotonic" | "boottime"),
            &field,
            "is neither monotonic nor boottime",
        );
        faults.unless(
            offset.nanosecs().unwrap_or(0) < 1_000_000_000,
            format!("{field}.nanosecs"),
            "is a second or more: use secs",
        );
    }
}

fn host(spec: &Spec, faults: &mut Faults) {
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        faults.unless(
            has(spec, LinuxNamespaceType::Uts).is_some(),
            field,
            "would change the machine's: add a uts namespace to linux.namespaces",
        );
        faults.unless(
            name.len() <= HOST_NAME_LIMIT,
            field,
            format!("is longer than {HOST_NAME_LIMIT} bytes"),
        );
    }
}

fn mounts(spec: &Spec, faults: &mut Faults) {
    for (at, mount) in spec.mounts().as_deref().unwrap_or_default().iter().enumerate() {
        let destination = mount.destination();
        faults.unless(
            destination.is_absolute(),
            format!("mounts[{at}].destination"),
            format!("{} is not absolute", destination.display()),
        );
    }
    let Some(linux) = spec.linux() else { return };
    for (field, paths) in [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())] {
        for (at, path) in paths.as_deref().unwrap_or_default().iter().enumerate() {
            faults.unless(
                path.starts_with('/'),
                format!("linux.{field}[{at}]"),
                format!("{path} is not absolute"),
            );
        }
    }
}

fn hooks(spec: &Spec, faults: &mut Faults) {
    for kind in Kind::ALL {
        for (at, hook) in kind.of(spec.hooks().as_ref()).iter().enumerate() {
            let field = format!("hooks.{}[{at}]", kind.name());
            let path = hook.path();
            faults.unless(
                path.is_absolute(),
                format!("{field}.path"),
                format!("{} is not absolute", path.display()),
            );
            faults.unless(
                hook.timeout().is_none_or(|time| time > 0),
                format!("{field}.timeout"),
                "is not above zero",
            );
            for variable in hook.env().as_deref().unwrap_or_default() {
                faults.unless(
                    variable.contains('='),
                    format!("{field}.env"),
                    format!("{variable:?} has no ="),
                );
            }
        }
    }
}

fn parameters(spec: &Spec, faults: &mut Faults) {
    let parameters = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    // In an order that does not change from run to run.
    let names: BTreeSet<_> = parameters.iter().flat_map(|parameters| parameters.keys()).collect();
    for name in names {
        if let Some(rule) = sysctl::fault(name, |kind| has(spec, kind).is_some()) {
            faults.add(format!("linux.sysctl.{name}"), rule);
        }
    }
}

/// What would be left out silently is refused instead.
fn not_built(spec: &Spec, faults: &mut Faults) {
    let Some(linux) = spec.linux() else { return };
    let rule = "is not supported by this runtime: leave it out";
    faults.unless(linux.intel_rdt().is_none(), "linux.intelRdt", rule);
    faults.unless(linux.memory_policy().is_none(), "linux.memoryPolicy", rule);
    let devices = linux.net_devices().as_ref();
    faults.unless(devices.is_none_or(std::collections::HashMap::is_empty), "linux.netDevices", rule);
}

#[cfg(test)]
mod tests;
