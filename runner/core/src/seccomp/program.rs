//! The assembly: a policy as a program of classic BPF.
//!
//! Numbers of calls are cut into ranges that get the same answer, and the ranges are searched by halves, so any call
//! is decided within a dozen steps. Only the architecture and the number are loaded before a range without conditions
//! answers: the kernel sees then that a call is always allowed and does not run the program for it at all.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_KILL_PROCESS, sock_filter,
};

use super::{
    arch::{Arch, X32_BIT},
    policy::{Calls, Compare, Condition, Decision, Policy},
};
use crate::RuntimeError;

/// `BPF_MAXINSNS`.
const MOST: usize = 4096;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// A tracer that suppresses a call makes this of its number; it is no call, of x32 neither.
const SUPPRESSED: u32 = u32::MAX;

#[expect(
    clippy::cast_possible_truncation,
    reason = "codes of classic BPF are 16 bits wide and libc's are below that"
)]
const fn code(class: u32, mode: u32, operation: u32) -> u16 {
    (class | mode | operation) as u16
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: code(BPF_LD, BPF_W, BPF_ABS), jt: 0, jf: 0, k: offset }
}

fn answer(value: u32) -> sock_filter {
    sock_filter { code: code(BPF_RET, BPF_K, 0), jt: 0, jf: 0, k: value }
}

fn and(mask: u32) -> sock_filter {
    sock_filter { code: code(BPF_ALU, BPF_AND, BPF_K), jt: 0, jf: 0, k: mask }
}

fn skip(count: usize) -> sock_filter {
    // Lengths are below 2^32: a program is refused at 4096, and no block is near that many.
    let k = u32::try_from(count).unwrap_or(u32::MAX);
    sock_filter { code: code(BPF_JMP, BPF_JA, 0), jt: 0, jf: 0, k }
}

fn jump(operation: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code(BPF_JMP, operation, BPF_K), jt, jf, k }
}

/// Makes the program.
pub(super) fn assemble(policy: &Policy) -> Result<Vec<sock_filter>, RuntimeError> {
    let mut program = vec![load(ARCH)];
    let x32 = policy.arches.iter().find(|calls| calls.arch == Arch::X32);
    for calls in policy.arches.iter().filter(|calls| calls.arch != Arch::X32) {
        let mut ranges = Ranges::new();
        add(&mut ranges, calls, policy, 0);
        if calls.arch == Arch::X86_64 {
            match x32 {
                Some(x32) => add(&mut ranges, x32, policy, X32_BIT),
                // An architecture that the profile does not name.
                None => ranges.push((X32_BIT, Body::Answer(SECCOMP_RET_KILL_PROCESS))),
            }
        }
        ranges.push((SUPPRESSED, Body::Answer(policy.default)));
        ranges.dedup_by(|next, before| next.1 == before.1);
        let mut block = vec![load(NUMBER)];
        block.extend(search(&ranges, policy.default));
        program.extend([jump(BPF_JEQ, calls.arch.audit(), 1, 0), skip(block.len())]);
        program.extend(block);
    }
    program.push(answer(SECCOMP_RET_KILL_PROCESS));
    if program.len() > MOST {
        return Err(RuntimeError::Spec {
            field: "linux.seccomp.syscalls".into(),
            rule: format!(
                "the rules need {} steps and the kernel takes {MOST}: use fewer conditions or architectures",
                program.len()
            ),
        });
    }
    Ok(program)
}

/// What the kernel asks of a program before it takes it.
///
/// # Panics
/// If it would not.
pub(super) fn assert_sound(program: &[sock_filter]) {
    assert!(!program.is_empty() && program.len() <= MOST, "{} steps", program.len());
    for (place, step) in program.iter().enumerate() {
        let class = u32::from(step.code) & 7;
        let left = program.len() - place - 1;
        let far = match class {
            BPF_JMP if u32::from(step.code) & 0xf0 == BPF_JA => step.k as usize,
            BPF_JMP => usize::from(step.jt.max(step.jf)),
            _ => 0,
        };
        assert!(far < left || class == BPF_RET, "step {place} of {} leads {far} further", program.len());
    }
}

/// What a range of numbers gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body<'a> {
    Answer(u32),
    /// Rules, and whether arguments are 32 bits wide.
    When(&'a [(Vec<Condition>, u32)], bool),
}

/// The first number of each range, rising, with what the range gets. It ends where the next begins.
type Ranges<'a> = Vec<(u32, Body<'a>)>;

/// Adds the ranges of an architecture, the first of which begins at `from`.
fn add<'a>(ranges: &mut Ranges<'a>, calls: &'a Calls, policy: &Policy, from: u32) {
    let mut starts: Vec<u32> = calls.by_number.keys().flat_map(|&number| [number, number + 1]).collect();
    starts.push(from);
    starts.extend(calls.newest.map(|newest| newest + 1));
    starts.sort_unstable();
    starts.dedup();
    ranges.extend(starts.into_iter().map(|number| {
        let body = match calls.by_number.get(&number) {
            Some(Decision::Always(value)) => Body::Answer(*value),
            Some(Decision::When(rules)) => Body::When(rules, calls.arch.narrow()),
            None if calls.newest.is_some_and(|newest| number > newest) => Body::Answer(policy.newer),
            None => Body::Answer(policy.default),
        };
        (number, body)
    }));
}

/// The search for the accumulator's number.
fn search(ranges: &[(u32, Body<'_>)], default: u32) -> Vec<sock_filter> {
    match ranges {
        [] => vec![answer(default)],
        [(_, Body::Answer(value))] => vec![answer(*value)],
        [(_, Body::When(rules, narrow))] => chain(rules, *narrow, default),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let low = search(below, default);
            let high = search(above, default);
            let mut block = match u8::try_from(low.len()) {
                Ok(length) => vec![jump(BPF_JGE, above[0].0, length, 0)],
                Err(_) => vec![jump(BPF_JGE, above[0].0, 0, 1), skip(low.len())],
            };
            block.extend(low);
            block.extend(high);
            block
        }
    }
}

/// Rules one after the other.
fn chain(rules: &[(Vec<Condition>, u32)], narrow: bool, default: u32) -> Vec<sock_filter> {
    let mut block = Vec::new();
    for (conditions, value) in rules {
        let mut steps = Vec::new();
        for condition in conditions {
            test(&mut steps, condition, narrow);
        }
        // A condition that fails goes on behind the rule's answer. Six conditions are at most 36 steps, so every jump
        // fits its 8 bits.
        let end = steps.len() + 1;
        block.extend(steps.iter().enumerate().map(|(place, step)| step.resolve(end - place - 1)));
        block.push(answer(*value));
    }
    block.push(answer(default));
    block
}

/// Where a comparison goes.
#[derive(Clone, Copy)]
enum To {
    /// So many steps further than the next.
    On(u8),
    /// Behind the rule.
    Fail,
}

/// A step of a rule whose length is not known yet.
enum Step {
    Plain(sock_filter),
    Jump(u32, u32, To, To),
}

impl Step {
    fn resolve(&self, to_end: usize) -> sock_filter {
        match *self {
            Self::Plain(step) => step,
            Self::Jump(operation, k, yes, no) => {
                let end = u8::try_from(to_end).unwrap_or(u8::MAX);
                let offset = |to| match to {
                    To::On(count) => count,
                    To::Fail => end,
                };
                jump(operation, k, offset(yes), offset(no))
            }
        }
    }
}

/// The steps of one condition: on when it holds, [`To::Fail`] when it does not. 64-bit arguments are compared by halves,
/// upper first. All machines here are little-endian.
fn test(steps: &mut Vec<Step>, condition: &Condition, narrow: bool) {
    use To::{Fail, On};
    let low_at = 16 + 8 * condition.argument;
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit value")]
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let mut plain = |step| steps.push(Step::Plain(step));
    if let Compare::Masked { mask, value } = condition.compare {
        let (mask_high, mask_low) = halves(mask);
        let (high, low) = halves(value);
        // A mask without bits of a half says nothing about it.
        if mask_high != 0 && !narrow {
            plain(load(low_at + 4));
            plain(and(mask_high));
            steps.push(Step::Jump(BPF_JEQ, high, On(0), Fail));
        }
        if mask_low != 0 || (mask_high == 0 || narrow) {
            steps.push(Step::Plain(load(low_at)));
            steps.push(Step::Plain(and(mask_low)));
            steps.push(Step::Jump(BPF_JEQ, low, On(0), Fail));
        }
        return;
    }
    // How the halves decide: what an unequal upper half means when it is greater and when it is less, and the
    // comparison of the lower half.
    let (value, when_greater, when_less, lower, holds) = match condition.compare {
        Compare::Equal(value) => (value, false, false, BPF_JEQ, true),
        Compare::NotEqual(value) => (value, true, true, BPF_JEQ, false),
        Compare::Greater(value) => (value, true, false, BPF_JGT, true),
        Compare::GreaterOrEqual(value) => (value, true, false, BPF_JGE, true),
        Compare::Less(value) => (value, false, true, BPF_JGE, false),
        Compare::LessOrEqual(value) => (value, false, true, BPF_JGT, false),
        Compare::Masked { .. } => return,
    };
    let (high, low) = halves(value);
    if !narrow {
        plain(load(low_at + 4));
        // Behind this comparison stand: the load of the lower half and its comparison.
        let (equal, unequal) = (On(0), |holds: bool, skipped: u8| if holds { On(skipped) } else { Fail });
        if when_greater == when_less {
            steps.push(Step::Jump(BPF_JEQ, high, equal, unequal(when_greater, 2)));
        } else {
            steps.push(Step::Jump(BPF_JGT, high, unequal(when_greater, 3), On(0)));
            steps.push(Step::Jump(BPF_JEQ, high, equal, unequal(when_less, 2)));
        }
    }
    steps.push(Step::Plain(load(low_at)));
    let (yes, no) = if holds { (On(0), Fail) } else { (Fail, On(0)) };
    steps.push(Step::Jump(lower, low, yes, no));
}
