//! Devices in version 2: a program that the kernel asks at each opening and making of a node.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::devices::{Kind, Rule};
use crate::{
    During, RuntimeError,
    sys::bpf::{self, Instruction},
};

// Registers: 1 is what the kernel hands over, 0 the answer.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const HERE: u8 = 6;

// Operations of eBPF.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// `BPF_DEVCG_DEV_BLOCK` and `..._CHAR`.
fn kind(kind: Kind) -> i32 {
    match kind {
        Kind::Block => 1,
        Kind::Char => 2,
    }
}

fn step(code: u8, target: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: target | source << 4, offset, immediate }
}

/// The rules as a program. From the last to the first, each decides what is left of the asked access: a rule that
/// refuses any of it ends with no, and yes is said when all of it was allowed. At the end stands no.
pub(super) fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx { access << 16 | kind, major, minor }
        step(LOAD_WORD, KIND, CONTEXT, 0, 0),
        step(MOVE_REGISTER, LEFT, KIND, 0, 0),
        step(SHIFT_RIGHT, LEFT, 0, 0, 16),
        step(AND, KIND, 0, 0, 0xffff),
        step(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        step(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let access = i32::from(rule.access);
        let mut decide = vec![step(MOVE_REGISTER, HERE, LEFT, 0, 0), step(AND, HERE, 0, 0, access)];
        if rule.allow {
            decide.extend([
                step(AND, LEFT, 0, 0, !access),
                step(JUMP_UNLESS_EQUAL, LEFT, 0, 2, 0),
                step(MOVE, ANSWER, 0, 0, 1),
                step(EXIT, 0, 0, 0, 0),
            ]);
        } else {
            decide.extend([
                step(JUMP_IF_EQUAL, HERE, 0, 2, 0),
                step(MOVE, ANSWER, 0, 0, 0),
                step(EXIT, 0, 0, 0, 0),
            ]);
        }
        let mut tests = vec![(KIND, kind(rule.devices.kind))];
        // The kernel's majors have 12 bits and its minors 20, so a number that the sign extension of a comparison
        // would change is no device's.
        tests.extend(rule.devices.major.map(|major| (MAJOR, major.cast_signed())));
        tests.extend(rule.devices.minor.map(|minor| (MINOR, minor.cast_signed())));
        let count = tests.len();
        for (place, (register, value)) in tests.into_iter().enumerate() {
            let behind = i16::try_from(count - place - 1 + decide.len()).unwrap_or(i16::MAX);
            program.push(step(JUMP_UNLESS_EQUAL, register, 0, behind, value));
        }
        program.extend(decide);
    }
    program.extend([step(MOVE, ANSWER, 0, 0, 0), step(EXIT, 0, 0, 0, 0)]);
    program
}

/// Puts the rules on a group, in the place of those that stand. For a moment both hold, and never none.
pub(super) fn attach(folder: &Path, rules: &[Rule]) -> Result<(), RuntimeError> {
    let step = || format!("limiting devices of {} (linux.resources.devices)", folder.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = rustix::fs::open(folder, flags, Mode::empty()).during(step)?;
    let before = bpf::device_programs(&group).during(step)?;
    let program = bpf::load_device_program(&program(rules)).during(step)?;
    bpf::attach_device_program(&group, &program).during(step)?;
    for id in before {
        bpf::detach_device_program(&group, id).during(step)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::cgroup::devices::{Devices, MAKE, READ, WRITE, decide};

    /// What the kernel does with the program.
    fn interpret(program: &[Instruction], device: Devices, access: u8) -> bool {
        let context = [
            u32::from(access) << 16 | kind(device.kind).cast_unsigned(),
            device.major.unwrap(),
            device.minor.unwrap(),
        ];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let step = program[at];
            at += 1;
            let (target, source) = (usize::from(step.registers & 15), usize::from(step.registers >> 4));
            let immediate = i64::from(step.immediate).cast_unsigned();
            let behind = at.checked_add_signed(step.offset.into()).unwrap();
            match step.code {
                LOAD_WORD => registers[target] = context[usize::try_from(step.offset).unwrap() / 4].into(),
                MOVE => registers[target] = immediate,
                MOVE_REGISTER => registers[target] = registers[source],
                AND => registers[target] &= immediate,
                SHIFT_RIGHT => registers[target] >>= immediate,
                JUMP_IF_EQUAL if registers[target] == immediate => at = behind,
                JUMP_UNLESS_EQUAL if registers[target] != immediate => at = behind,
                JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] != 0,
                other => panic!("{other:#x}"),
            }
        }
    }

    fn devices() -> impl Strategy<Value = Devices> {
        let number = || prop_oneof![Just(None), (0u32..3).prop_map(Some)];
        (any::<bool>(), number(), number()).prop_map(|(block, major, minor)| Devices {
            kind: if block { Kind::Block } else { Kind::Char },
            major,
            minor,
        })
    }

    proptest! {
        #[test]
        fn a_program_decides_as_its_rules(
            rules in prop::collection::vec((any::<bool>(), devices(), 1u8..8), 0..12),
            asked in prop::collection::vec((devices(), 1u8..8), 40),
        ) {
            let rules: Vec<_> =
                rules.into_iter().map(|(allow, devices, access)| Rule { allow, devices, access }).collect();
            let program = program(&rules);
            for (mut device, access) in asked {
                device.major = device.major.or(Some(7));
                device.minor = device.minor.or(Some(7));
                prop_assert_eq!(interpret(&program, device, access), decide(&rules, device, access));
            }
        }
    }

    struct Group(PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = crate::cgroup::folder::remove(&self.0);
        }
    }

    /// The unified tree's mount; in CI a test that did not run has failed.
    fn unified() -> Option<PathBuf> {
        let mounted = crate::cgroup::hierarchy::mounted(Path::new("/")).unwrap();
        let found = mounted.into_iter().find(|one| one.unified()).map(|one| one.mount);
        let found = found.filter(|_| rustix::process::geteuid().is_root());
        assert!(
            found.is_some() || std::env::var_os("CI").is_none(),
            "needs root and control groups of version 2"
        );
        found
    }

    #[test]
    fn the_kernel_asks_the_program_and_takes_another_in_its_place() {
        let Some(mount) = unified() else { return };
        let group = Group(mount.join(format!("berth-devices-{}", std::process::id())));
        fs::create_dir(&group.0).unwrap();
        let rule = |allow, minor, access| Rule {
            allow,
            devices: Devices { kind: Kind::Char, major: Some(1), minor: Some(minor) },
            access,
        };
        let readable = |device: &str| {
            let procs = group.0.join("cgroup.procs");
            let script = format!("echo $$ >{} && : <{device}", procs.display());
            std::process::Command::new("sh")
                .args(["-c", &script])
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap()
        };
        attach(&group.0, &[rule(true, 5, READ | WRITE | MAKE), rule(true, 3, READ)]).unwrap();
        assert!(readable("/dev/zero").success() && !readable("/dev/random").success());
        // In the place of the first, not beside it.
        attach(&group.0, &[rule(true, 8, READ)]).unwrap();
        assert!(!readable("/dev/zero").success() && readable("/dev/random").success());
        let open = rustix::fs::open(&group.0, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(bpf::device_programs(&open).unwrap().len(), 1);
    }
}
