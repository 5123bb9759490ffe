//! What it may do.

use clap::{ArgAction, Args};

use super::{Choices, switch};
use crate::{
    bundle::capabilities,
    record::{
        Desired, Seccomp,
        parse::{self, Faults},
    },
};

/// Flags of safety.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityFlags {
    /// Give it every right of this user, and the devices of the machine
    ///
    /// There is no wall then: all capabilities, all devices, no filter of system calls, nothing masked or read-only. Root in
    /// a container of root's can mount the machine's disks, so it is root on the machine.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) privileged: bool,
    /// Add a capability
    ///
    /// ALL gives all of them. In a user namespace of its own they hold for its own things, and more of the kernel can be
    /// attacked; with --userns host most of them (SYS_ADMIN, SYS_PTRACE, SYS_MODULE, DAC_READ_SEARCH and others) are root
    /// on the machine.
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub(crate) cap_add: Vec<String>,
    /// Take a capability away; ALL takes all of them
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub(crate) cap_drop: Vec<String>,
    /// no-new-privileges[=BOOL], seccomp=FILE|unconfined, apparmor=, label=, mask=, unmask=, proc-opts=
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// The root cannot be written
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) read_only: bool,
    /// With --read-only: memory on /run, /tmp and /var/tmp
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub(crate) read_only_tmpfs: bool,
    /// Set a value of the kernel's, as in net.core.somaxconn=1024
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) sysctl: Vec<String>,
}

/// A process label of SELinux from its four parts.
#[derive(Default)]
struct Label {
    disabled: bool,
    parts: [Option<String>; 4],
}

impl Label {
    fn add(&mut self, text: &str) -> parse::Parsed<()> {
        let (part, value) = text.split_once(':').unwrap_or((text, ""));
        let place = match part {
            "disable" => {
                self.disabled = true;
                return Ok(());
            }
            "user" => 0,
            "role" => 1,
            "type" => 2,
            "level" => 3,
            _ => return Err(format!("label={text}: one of disable, user:, role:, type:, level:")),
        };
        self.parts[place] = Some(value.to_owned());
        Ok(())
    }

    fn text(&self) -> Option<String> {
        if self.disabled || self.parts.iter().all(Option::is_none) {
            return None;
        }
        let usual = ["system_u", "system_r", "container_t", "s0"];
        let parts = self.parts.iter().zip(usual).map(|(part, usual)| part.as_deref().unwrap_or(usual));
        Some(parts.collect::<Vec<_>>().join(":"))
    }
}

/// Paths between colons, each absolute.
pub(super) fn paths(text: &str) -> parse::Parsed<Vec<std::path::PathBuf>> {
    let path = |part: &str| {
        if part.starts_with('/') { Ok(part.into()) } else { Err(format!("{part:?} does not begin with /")) }
    };
    text.split(':').filter(|part| !part.is_empty()).map(path).collect()
}

pub(super) fn sysctl(text: &str, network: bool, ipc: bool) -> parse::Parsed<(String, String)> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no NAME=VALUE"))?;
    let name = name.trim().replace('/', ".");
    let of_ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (kind, own) = if name.starts_with("net.") {
        ("network", network)
    } else if of_ipc.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
        ("IPC", ipc)
    } else {
        return Err(format!("{name} is not a container's own: it would change the whole machine"));
    };
    if own {
        Ok((name, value.trim().to_owned()))
    } else {
        Err(format!("{name} belongs to the {kind} namespace, which is not the container's own"))
    }
}

impl SecurityFlags {
    pub(super) fn apply(&self, desired: &mut Desired, choices: &mut Choices, faults: &mut Faults) {
        let security = &mut desired.security;
        security.privileged = self.privileged;
        security.no_new_privileges = !self.privileged;
        if self.privileged {
            security.seccomp = Seccomp::Unconfined;
        }
        (security.read_only, security.read_only_tmpfs) = (self.read_only, self.read_only_tmpfs);
        match capabilities::all() {
            Err(error) => faults.add("--cap-add", error),
            Ok(all) => match capabilities::choose(&self.cap_add, &self.cap_drop, &all) {
                Ok(_) if self.privileged => {
                    security.capabilities = all.iter().map(|name| (*name).to_owned()).collect()
                }
                Ok(chosen) => security.capabilities = chosen,
                Err(all) => all.into_iter().for_each(|fault| faults.add("--cap-add, --cap-drop", fault)),
            },
        }
        let named = self.cap_add.iter().filter_map(|text| capabilities::name(text).ok());
        security.added_capabilities = named.map(str::to_owned).collect();
        let mut label = Label::default();
        for text in &self.security_opt {
            self.option(text, desired, &mut label, faults);
        }
        desired.security.selinux = label.text();
        choices.sysctl.clone_from(&self.sysctl);
    }

    fn option(&self, text: &str, desired: &mut Desired, label: &mut Label, faults: &mut Faults) {
        let flag = "--security-opt";
        let security = &mut desired.security;
        // Docker's older form has a colon.
        let at = text.find(['=', ':']).unwrap_or(text.len());
        let (name, value) = (&text[..at], text.get(at + 1..).unwrap_or_default());
        match name {
            "no-new-privileges" if at == text.len() => security.no_new_privileges = true,
            "no-new-privileges" => {
                if let Some(on) = faults.take(flag, parse::truth(value)) {
                    security.no_new_privileges = on;
                }
            }
            "seccomp" => match value {
                "unconfined" => security.seccomp = Seccomp::Unconfined,
                path => match std::path::absolute(path) {
                    Ok(path) if path.is_file() => security.seccomp = Seccomp::File(path),
                    Ok(_) | Err(_) => faults.add(flag, format!("seccomp={path}: no such file")),
                },
            },
            "apparmor" => match value {
                "unconfined" | "" => security.apparmor = None,
                _ if !std::path::Path::new("/sys/module/apparmor").exists() => {
                    faults.add(flag, format!("apparmor={value}: this kernel has no AppArmor: leave it out"));
                }
                profile => security.apparmor = Some(profile.to_owned()),
            },
            "label" => {
                faults.take(flag, label.add(value));
            }
            "mask" => security.masked.extend(faults.take(flag, paths(value)).unwrap_or_default()),
            "unmask" if value.eq_ignore_ascii_case("all") => security.unmasked.push("/".into()),
            "unmask" => security.unmasked.extend(faults.take(flag, paths(value)).unwrap_or_default()),
            "systempaths" if value == "unconfined" => security.unmasked.push("/".into()),
            "proc-opts" => security.proc_options.extend(value.split(',').filter(|word| !word.is_empty()).map(str::to_owned)),
            _ => faults.add(flag, format!("{text:?} is not known: no-new-privileges, seccomp, apparmor, label, mask, unmask or proc-opts")),
        }
    }
}

/// Values of the kernel's, once it is known which namespaces are the container's own.
pub(super) fn check_sysctl(desired: &mut Desired, choices: &Choices, faults: &mut Faults) {
    let network = crate::bundle::namespaces::owns_network(desired);
    let ipc = desired.isolation.ipc == crate::record::Namespace::Private;
    for text in &choices.sysctl {
        desired.security.sysctl.extend(faults.take("--sysctl", sysctl(text, network, ipc)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_of_the_containers_own_namespaces_are_set() {
        assert_eq!(
            sysctl("net.core.somaxconn=1024", true, true),
            Ok(("net.core.somaxconn".into(), "1024".into()))
        );
        assert_eq!(sysctl("net/ipv4/ip_forward = 1", true, true).unwrap().0, "net.ipv4.ip_forward");
        assert!(sysctl("kernel.shmmax=1", true, true).is_ok());
        for (text, network, ipc) in [
            ("net.core.somaxconn=1", false, true),
            ("kernel.sem=1", true, false),
            ("vm.swappiness=1", true, true),
            ("x", true, true),
        ] {
            assert!(sysctl(text, network, ipc).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_made_of_parts() {
        let mut label = Label::default();
        assert_eq!(label.text(), None);
        label.add("type:svirt_t").unwrap();
        label.add("level:s0:c1,c2").unwrap();
        assert_eq!(label.text().as_deref(), Some("system_u:system_r:svirt_t:s0:c1,c2"));
        assert!(label.add("nope").is_err());
        label.add("disable").unwrap();
        assert_eq!(label.text(), None);
    }
}
