//! Filters of system calls from files: the runtime specification's form, and docker's, which chooses by architecture,
//! kernel and capability.

use std::path::Path;

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value};

use crate::error::{Result, RunnerError, While};

/// The largest profile that is read, bytes.
const CAP: u64 = 4 << 20;

fn wrong(path: &Path, what: impl std::fmt::Display) -> RunnerError {
    RunnerError::Usage(format!(
        "--security-opt seccomp={}: {what}: it has to be a profile of the runtime specification or of docker",
        path.display()
    ))
}

/// Docker's words for this machine, and the specification's.
fn architecture() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", "SCMP_ARCH_X86_64"),
        "aarch64" => ("arm64", "SCMP_ARCH_AARCH64"),
        "riscv64" => ("riscv64", "SCMP_ARCH_RISCV64"),
        "s390x" => ("s390x", "SCMP_ARCH_S390X"),
        "powerpc64" => ("ppc64le", "SCMP_ARCH_PPC64LE"),
        other => (other, ""),
    }
}

fn words(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `4.8` of docker's `minKernel` against `6.1.0-18-amd64`.
fn at_least(kernel: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> (u32, u32) {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    numbers(kernel) >= numbers(wanted)
}

/// Whether a rule of docker's form is for this container.
fn applies(rule: &Map<String, Value>, capabilities: &[String], kernel: &str) -> bool {
    let (architecture, _) = architecture();
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let includes = rule.get("includes").unwrap_or(&Value::Null);
    let excludes = rule.get("excludes").unwrap_or(&Value::Null);
    let arches = words(includes.get("arches"));
    (arches.is_empty() || arches.contains(&architecture))
        && !words(excludes.get("arches")).contains(&architecture)
        && words(includes.get("caps")).iter().all(|name| has(name))
        && !words(excludes.get("caps")).iter().any(|name| has(name))
        && includes.get("minKernel").and_then(Value::as_str).is_none_or(|wanted| at_least(kernel, wanted))
        && !excludes.get("minKernel").and_then(Value::as_str).is_some_and(|wanted| at_least(kernel, wanted))
}

/// Docker's form brought into the specification's; the specification's stays as it is.
fn specification(profile: &mut Map<String, Value>, capabilities: &[String], kernel: &str) {
    if let Some(maps) = profile.remove("archMap") {
        let (_, own) = architecture();
        let map = maps.as_array().into_iter().flatten();
        let map = map.filter(|map| map.get("architecture").and_then(Value::as_str) == Some(own));
        let names = map.flat_map(|map| {
            let first = map.get("architecture").and_then(Value::as_str);
            first.into_iter().chain(words(map.get("subArchitectures")))
        });
        let names: Vec<Value> = names.map(Value::from).collect();
        profile.insert("architectures".into(), names.into());
    }
    let Some(rules) = profile.get_mut("syscalls").and_then(Value::as_array_mut) else { return };
    rules.retain(|rule| rule.as_object().is_none_or(|rule| applies(rule, capabilities, kernel)));
    for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(name) = rule.remove("name") {
            rule.entry("names").or_insert_with(|| vec![name].into());
        }
        rule.retain(|key, _| ["names", "action", "errnoRet", "args"].contains(&key.as_str()));
        rule.retain(|key, value| key != "args" || value.as_array().is_some_and(|args| !args.is_empty()));
    }
}

/// Reads a profile.
///
/// # Errors
/// [`RunnerError::Usage`] where it is none.
pub(crate) fn read(path: &Path, capabilities: &[String], kernel: &str) -> Result<LinuxSeccomp> {
    let size = std::fs::metadata(path).doing("reading", path)?.len();
    if size > CAP {
        return Err(wrong(path, "larger than 4 MiB"));
    }
    let text = std::fs::read(path).doing("reading", path)?;
    parse(&text, capabilities, kernel).map_err(|error| wrong(path, error))
}

/// Reads the text of one.
///
/// # Errors
/// Where it is none.
pub(crate) fn parse(
    text: &[u8],
    capabilities: &[String],
    kernel: &str,
) -> Result<LinuxSeccomp, serde_json::Error> {
    let mut profile: Map<String, Value> = serde_json::from_slice(text)?;
    specification(&mut profile, capabilities, kernel);
    serde_json::from_value(profile.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
        ],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]},
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["s390_pci"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["no-such-machine"]}}
        ]}"#;

    fn names(profile: &LinuxSeccomp) -> Vec<String> {
        let rules = profile.syscalls().iter().flatten();
        rules.flat_map(|rule| rule.names().clone()).collect()
    }

    fn read_text(text: &str, capabilities: &[&str], kernel: &str) -> Result<LinuxSeccomp> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let own: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
        read(file.path(), &own, kernel)
    }

    #[test]
    fn dockers_profiles_are_chosen_by_capability_kernel_and_machine() {
        let plain = read_text(DOCKER, &[], "6.1.0-18-amd64").unwrap();
        assert_eq!(names(&plain), ["read", "clone", "ptrace"]);
        assert_eq!(plain.architectures().as_ref().unwrap().len(), 2);
        assert_eq!(names(&read_text(DOCKER, &["CAP_SYS_ADMIN"], "4.7.9").unwrap()), ["read", "mount"]);
    }

    #[test]
    fn profiles_of_the_specification_stay_as_they_are() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        let profile = read_text(text, &[], "6.1").unwrap();
        let wanted: LinuxSeccomp = serde_json::from_str(text).unwrap();
        assert_eq!(profile, wanted);
    }

    #[test]
    fn what_is_no_profile_is_named() {
        for text in ["", "[]", "{}", r#"{"defaultAction":"SCMP_ACT_NOPE"}"#] {
            assert!(matches!(read_text(text, &[], "6.1"), Err(RunnerError::Usage(_))), "{text}");
        }
    }
}
