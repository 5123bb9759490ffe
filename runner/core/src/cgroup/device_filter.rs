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
