//! The compiler against the profile's meaning, by an interpreter of classic BPF.

use libc::sock_filter;
use oci_spec::runtime::{
    Arch as Named, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};
use proptest::prelude::*;

use super::{arch::Arch, *};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;

/// What the kernel does with the program; the second answer is the number of steps.
pub(super) fn interpret(program: &[sock_filter], audit: u32, number: u32, args: [u64; 6]) -> (u32, usize) {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(audit.to_le_bytes());
    data.extend(0xdead_beef_u64.to_le_bytes());
    args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
    let mut accumulator = 0u32;
    let mut at = 0;
    for steps in 1..=program.len() {
        let step = program[at];
        at += 1;
        match u32::from(step.code) {
            0x20 => {
                let from = step.k as usize;
                accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
            }
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            code @ (0x15 | 0x25 | 0x35) => {
                let holds = match code {
                    0x15 => accumulator == step.k,
                    0x25 => accumulator > step.k,
                    _ => accumulator >= step.k,
                };
                at += usize::from(if holds { step.jt } else { step.jf });
            }
            0x06 => return (step.k, steps),
            other => panic!("step {other:#x} is not one that is written"),
        }
    }
    panic!("the program does not end");
}

fn holds(arg: &LinuxSeccompArg, args: [u64; 6], narrow: bool) -> bool {
    let width = if narrow { u64::from(u32::MAX) } else { u64::MAX };
    let (have, want) = (args[arg.index()] & width, arg.value() & width);
    match arg.op() {
        Operator::ScmpCmpEq => have == want,
        Operator::ScmpCmpNe => have != want,
        Operator::ScmpCmpLt => have < want,
        Operator::ScmpCmpLe => have <= want,
        Operator::ScmpCmpGt => have > want,
        Operator::ScmpCmpGe => have >= want,
        Operator::ScmpCmpMaskedEq => have & want == arg.value_two().unwrap_or(0) & want,
    }
}

fn rule_holds(rule: &LinuxSyscall, args: [u64; 6], narrow: bool) -> bool {
    let conditions = rule.args().as_deref().unwrap_or_default();
    let mut arguments: Vec<_> = conditions.iter().map(LinuxSeccompArg::index).collect();
    arguments.sort_unstable();
    arguments.dedup();
    let mut each = conditions.iter().map(|arg| holds(arg, args, narrow));
    if arguments.len() < conditions.len() { each.any(|held| held) } else { each.all(|held| held) }
}

/// The profile's meaning, read off the profile itself for a call by its name.
fn meaning(profile: &LinuxSeccomp, name: &str, args: [u64; 6], narrow: bool) -> u32 {
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let rules = profile.syscalls().iter().flatten().filter(|rule| rule.names().iter().any(|one| one == name));
    let rules: Vec<_> = rules
        .map(|rule| (rule, rule.action().as_u32(rule.errno_ret())))
        .filter(|(_, act)| *act != default)
        .collect();
    let unconditional = rules.iter().find(|(rule, _)| rule.args().as_deref().unwrap_or_default().is_empty());
    let conditional = rules.iter().find(|(rule, _)| rule_holds(rule, args, narrow));
    unconditional.or(conditional).map_or(default, |(_, action)| *action)
}

fn assembled(profile: &LinuxSeccomp, native: Arch) -> Vec<sock_filter> {
    program::assemble(&policy::Policy::of(profile, native).unwrap()).unwrap()
}

fn profile(default: Action, rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    LinuxSeccompBuilder::default().default_action(default).syscalls(rules).build().unwrap()
}

fn syscall(names: &[&str], action: Action, errno: Option<u32>, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut rule = LinuxSyscallBuilder::default().names(names).action(action).args(args).build().unwrap();
    rule.set_errno_ret(errno);
    rule
}

fn arg(index: usize, op: Operator, value: u64, two: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default().index(index).op(op).value(value).value_two(two).build().unwrap()
}

const NAMES: [&str; 12] = [
    "read",
    "write",
    "open",
    "openat",
    "clone",
    "socket",
    "personality",
    "mount",
    "getpid",
    "clone3",
    "mmap2",
    "breakpoint",
];

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..4,
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x1_0000_0001),
        Just(0x7e02_0000),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn conditions() -> impl Strategy<Value = LinuxSeccompArg> {
    let ops = prop_oneof![
        Just(Operator::ScmpCmpEq),
        Just(Operator::ScmpCmpNe),
        Just(Operator::ScmpCmpLt),
        Just(Operator::ScmpCmpLe),
        Just(Operator::ScmpCmpGt),
        Just(Operator::ScmpCmpGe),
        Just(Operator::ScmpCmpMaskedEq),
    ];
    (0usize..6, ops, values(), values()).prop_map(|(index, op, value, two)| arg(index, op, value, two))
}

fn actions() -> impl Strategy<Value = (Action, Option<u32>)> {
    prop_oneof![
        Just((Action::ScmpActAllow, None)),
        (0u32..4095).prop_map(|errno| (Action::ScmpActErrno, Some(errno))),
        Just((Action::ScmpActErrno, None)),
        Just((Action::ScmpActKillProcess, None)),
        Just((Action::ScmpActLog, None)),
        Just((Action::ScmpActTrap, None)),
        (0u32..9).prop_map(|data| (Action::ScmpActTrace, Some(data))),
    ]
}

fn profiles() -> impl Strategy<Value = LinuxSeccomp> {
    let rule = (
        proptest::sample::subsequence(&NAMES[..], 1..4),
        actions(),
        prop::collection::vec(conditions(), 0..5),
    )
        .prop_map(|(names, (action, errno), args)| syscall(&names, action, errno, args));
    let named = [
        Named::ScmpArchX86_64,
        Named::ScmpArchX86,
        Named::ScmpArchX32,
        Named::ScmpArchAarch64,
        Named::ScmpArchArm,
        Named::ScmpArchMips,
    ];
    let arches = proptest::sample::subsequence(named.to_vec(), 0..6);
    (actions(), prop::collection::vec(rule, 0..12), arches).prop_map(|((action, errno), rules, arches)| {
        let mut of = profile(action, rules);
        of.set_default_errno_ret(errno);
        of.set_architectures(Some(arches));
        of
    })
}

fn narrow(arch: Arch) -> bool {
    !matches!(arch, Arch::X86_64 | Arch::Aarch64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_program_means_what_its_profile_says(
        profile in profiles(),
        native in prop_oneof![Just(Arch::X86_64), Just(Arch::Aarch64)],
        calls in prop::collection::vec((0usize..12, prop::array::uniform6(values())), 30),
    ) {
        let Ok(policy) = policy::Policy::of(&profile, native) else {
            // Two actions for one call without conditions; its own test says so.
            return Ok(());
        };
        let program = program::assemble(&policy).unwrap();
        let named = profile.architectures().clone().unwrap_or_default();
        for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
            let filtered = arch == native || named.iter().any(|one| Arch::of(*one, native) == Some(arch));
            let numbers = arch.calls();
            let listed = profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
            let newest = listed.filter_map(|name| numbers.get(&**name)).filter(|number| **number & 0xf_0000 == 0).max();
            let denies = profile.default_action().as_u32(Some(1)) <= EPERM
                || profile.default_action() == Action::ScmpActKillProcess;
            for (name, args) in &calls {
                let Some(&number) = numbers.get(NAMES[*name]) else { continue };
                let (answer, _) = interpret(&program, arch.audit(), number, *args);
                // A rule with the default action says nothing, of ARM's private calls neither.
                let default = profile.default_action().as_u32(profile.default_errno_ret());
                let mut rules = profile.syscalls().iter().flatten();
                let is_listed = rules.any(|rule| {
                    rule.names().iter().any(|one| one == NAMES[*name])
                        && rule.action().as_u32(rule.errno_ret()) != default
                });
                let expected = match newest {
                    _ if !filtered => KILL,
                    Some(newest) if denies && !is_listed && number > *newest => ENOSYS,
                    _ => meaning(&profile, NAMES[*name], *args, narrow(arch)),
                };
                prop_assert_eq!(answer, expected, "{:?} {} {:x?}", arch, NAMES[*name], args);
            }
        }
    }

    #[test]
    fn calls_newer_than_a_denying_profile_are_not_implemented(
        rules in prop::collection::vec(proptest::sample::subsequence(&NAMES[..], 1..4), 1..5),
        number in 0u32..700,
    ) {
        let of = profile(
            Action::ScmpActErrno,
            rules.iter().map(|names| syscall(names, Action::ScmpActAllow, None, vec![])).collect(),
        );
        let program = assembled(&of, Arch::X86_64);
        let calls = Arch::X86_64.calls();
        let listed: Vec<u32> = rules.iter().flatten().filter_map(|name| calls.get(name).copied()).collect();
        let expected = match listed.iter().max() {
            _ if listed.contains(&number) => ALLOW,
            Some(newest) if number > *newest => ENOSYS,
            _ => EPERM,
        };
        prop_assert_eq!(interpret(&program, Arch::X86_64.audit(), number, [0; 6]).0, expected);
    }
}

#[test]
fn an_architecture_that_is_not_named_kills() {
    let of = profile(Action::ScmpActAllow, vec![syscall(&["mount"], Action::ScmpActErrno, None, vec![])]);
    let program = assembled(&of, Arch::X86_64);
    let x32 = arch::X32_BIT;
    assert_eq!(interpret(&program, Arch::X86_64.audit(), 0, [0; 6]).0, ALLOW);
    assert_eq!(interpret(&program, Arch::X86_64.audit(), x32, [0; 6]).0, KILL);
    assert_eq!(interpret(&program, Arch::X86.audit(), 3, [0; 6]).0, KILL);
    // A tracer suppressed the call.
    assert_eq!(interpret(&program, Arch::X86_64.audit(), u32::MAX, [0; 6]).0, ALLOW);
}

#[test]
fn a_permissive_default_is_kept_for_newer_calls() {
    for (default, expected) in [
        (Action::ScmpActAllow, ALLOW),
        (Action::ScmpActLog, libc::SECCOMP_RET_LOG),
        (Action::ScmpActTrap, ENOSYS),
        (Action::ScmpActKill, ENOSYS),
    ] {
        let of = profile(default, vec![syscall(&["mount"], Action::ScmpActErrno, None, vec![])]);
        let program = assembled(&of, Arch::X86_64);
        assert_eq!(interpret(&program, Arch::X86_64.audit(), 469, [0; 6]).0, expected, "{default:?}");
    }
}

#[test]
fn a_name_that_no_table_has_is_left_out() {
    let of = profile(
        Action::ScmpActErrno,
        vec![syscall(&["no_such_call", "read"], Action::ScmpActAllow, None, vec![])],
    );
    assert_eq!(interpret(&assembled(&of, Arch::X86_64), Arch::X86_64.audit(), 0, [0; 6]).0, ALLOW);
}

#[test]
fn private_calls_of_arm_do_not_make_every_call_known() {
    let rules = vec![syscall(&["set_tls", "openat2"], Action::ScmpActAllow, None, vec![])];
    let program = assembled(&profile(Action::ScmpActErrno, rules), Arch::Arm);
    let ask = |number| interpret(&program, Arch::Arm.audit(), number, [0; 6]).0;
    assert_eq!(
        [ask(437), ask(0xf_0005), ask(1), ask(438), ask(0xf_0004)],
        [ALLOW, ALLOW, EPERM, ENOSYS, ENOSYS]
    );
}

fn refused(of: &LinuxSeccomp) -> String {
    policy::Policy::of(of, Arch::X86_64)
        .map(|policy| program::assemble(&policy).map(|program| program.len()))
        .map_or_else(|error| error.to_string(), |program| program.unwrap_err().to_string())
}

#[test]
fn what_cannot_be_is_refused_with_its_field() {
    let one = |rule| profile(Action::ScmpActErrno, vec![rule]);
    let notify = refused(&one(syscall(&["mount"], Action::ScmpActNotify, None, vec![])));
    assert!(notify.starts_with("linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY: "), "{notify}");
    let errno = refused(&one(syscall(&["mount"], Action::ScmpActErrno, Some(4096), vec![])));
    assert!(errno.contains("linux.seccomp.syscalls[0]: errnoRet is above 4095"), "{errno}");
    let index = arg(6, Operator::ScmpCmpEq, 0, 0);
    let index = refused(&one(syscall(&["mount"], Action::ScmpActAllow, None, vec![index])));
    assert!(index.contains("linux.seccomp.syscalls[0].args: index 6"), "{index}");
    let many = (0..2000)
        .map(|n| syscall(&["mount"], Action::ScmpActAllow, None, vec![arg(0, Operator::ScmpCmpEq, n, 0)]));
    let long = refused(&profile(Action::ScmpActErrno, many.collect()));
    assert!(long.contains("the kernel takes 4096"), "{long}");
}

#[test]
fn long_programs_jump_far() {
    // 900 steps for one call in the middle: both its neighbours lie beyond 8 bits.
    let many = (0..300)
        .map(|n| syscall(&["open"], Action::ScmpActAllow, None, vec![arg(0, Operator::ScmpCmpEq, n, 0)]));
    let mut rules: Vec<_> = many.collect();
    rules.push(syscall(&["read", "mseal"], Action::ScmpActAllow, None, vec![]));
    let program = assembled(&profile(Action::ScmpActErrno, rules), Arch::X86_64);
    let ask = |number, first| interpret(&program, Arch::X86_64.audit(), number, [first, 0, 0, 0, 0, 0]).0;
    assert_eq!(
        [ask(0, 0), ask(2, 299), ask(2, 300), ask(462, 0), ask(1, 0)],
        [ALLOW, ALLOW, EPERM, ALLOW, EPERM]
    );
}

#[test]
fn a_call_of_the_default_profile_is_decided_in_few_steps() {
    let program = assembled(&default_profile(&[]), Arch::X86_64);
    let most =
        (0..470).map(|number| interpret(&program, Arch::X86_64.audit(), number, [0; 6]).1).max().unwrap();
    assert!(program.len() < 700 && most <= 30, "{} steps long, at most {most} steps", program.len());
}

#[test]
fn of_two_rules_without_conditions_the_first_holds() {
    let twice = profile(
        Action::ScmpActErrno,
        vec![
            syscall(&["mount"], Action::ScmpActAllow, None, vec![]),
            syscall(&["mount"], Action::ScmpActKill, None, vec![]),
        ],
    );
    let program = assembled(&twice, Arch::X86_64);
    let mount = 165;
    assert_eq!(interpret(&program, Arch::X86_64.audit(), mount, [0; 6]).0, ALLOW);
}

#[test]
fn rules_without_number_are_refused_before_they_are_multiplied() {
    let condition = r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"}"#;
    let profile = |names: usize, args: usize| -> LinuxSeccomp {
        let names = vec![r#""read""#; names].join(",");
        let args = vec![condition; args].join(",");
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW","args":[{args}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    assert!(Filter::compile(&profile(10, 10), None).is_ok());
    for (names, args) in [(1, 4097), (30_000, 1000)] {
        let fault = Filter::compile(&profile(names, args), None).unwrap_err().to_string();
        assert!(fault.contains("more than 4096"), "{fault}");
    }
}
