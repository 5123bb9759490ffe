//! What a profile means: per architecture and call an action, or actions under conditions.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
    LinuxSyscall,
};

use super::arch::{ARM_PRIVATE, Arch};
use crate::RuntimeError;

/// Conditions of one rule, and rules with conditions of one architecture: each is a step of a program that may have 4096.
const MOST_CONDITIONS: usize = 4096;

/// One comparison with an argument of a call, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) compare: Compare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    /// The bits of `mask` are those of `value`.
    Masked {
        mask: u64,
        value: u64,
    },
}

/// What a call gets, as the filter's answer to the kernel (`SECCOMP_RET_...`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Always(u32),
    /// The first whose conditions all hold; the policy's default where none does.
    When(Vec<(Vec<Condition>, u32)>),
}

/// The calls of one architecture.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) arch: Arch,
    pub(super) by_number: BTreeMap<u32, Decision>,
    /// The answer to calls above this number is [`Policy::newer`]: who wrote the profile could not know them.
    pub(super) newest: Option<u32>,
}

/// A profile, with its names resolved.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) default: u32,
    /// `ENOSYS`, so that programs fall back to what came before the call.
    pub(super) newer: u32,
    /// At least the machine's own, which is first.
    pub(super) arches: Vec<Calls>,
}

fn spec(field: impl Into<String>, rule: impl Into<String>) -> RuntimeError {
    RuntimeError::Spec { field: field.into(), rule: rule.into() }
}

fn answer(field: &str, action: Action, errno: Option<u32>) -> Result<u32, RuntimeError> {
    match action {
        Action::ScmpActNotify => Err(RuntimeError::Unsupported {
            what: format!("{field}: SCMP_ACT_NOTIFY"),
            why: "calls cannot be handed to another process here: give them another action, or run the container \
                  with another runtime (--runtime)"
                .into(),
        }),
        Action::ScmpActErrno if errno.is_some_and(|errno| errno > 4095) => {
            Err(spec(field, "errnoRet is above 4095, which is the kernel's greatest error number"))
        }
        Action::ScmpActTrace if errno.is_some_and(|data| data > 0xffff) => {
            Err(spec(field, "errnoRet is above 65535, which is the most that a tracer is told"))
        }
        action => Ok(action.as_u32(errno)),
    }
}

fn condition(field: &str, arg: &LinuxSeccompArg) -> Result<Condition, RuntimeError> {
    let value = arg.value();
    let compare = match arg.op() {
        Operator::ScmpCmpEq => Compare::Equal(value),
        Operator::ScmpCmpNe => Compare::NotEqual(value),
        Operator::ScmpCmpLt => Compare::Less(value),
        Operator::ScmpCmpLe => Compare::LessOrEqual(value),
        Operator::ScmpCmpGt => Compare::Greater(value),
        Operator::ScmpCmpGe => Compare::GreaterOrEqual(value),
        // Bits of the second value outside of the mask are nothing.
        Operator::ScmpCmpMaskedEq => {
            Compare::Masked { mask: value, value: arg.value_two().unwrap_or_default() & value }
        }
    };
    match u32::try_from(arg.index()) {
        Ok(argument @ 0..=5) => Ok(Condition { argument, compare }),
        _ => Err(spec(
            format!("{field}.args"),
            format!("index {}: a call has the arguments 0 to 5", arg.index()),
        )),
    }
}

/// The alternatives of a rule. Conditions on different arguments hold together; where one argument is named several
/// times, each condition is an alternative, which is what other runtimes make of it.
fn alternatives(field: &str, rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>, RuntimeError> {
    let args = rule.args().as_deref().unwrap_or_default();
    if args.len() > MOST_CONDITIONS {
        return Err(spec(format!("{field}.args"), format!("more than {MOST_CONDITIONS} conditions")));
    }
    let conditions = args.iter().map(|arg| condition(field, arg)).collect::<Result<Vec<_>, _>>()?;
    let repeated =
        |one: &Condition| conditions.iter().filter(|other| other.argument == one.argument).count() > 1;
    if conditions.iter().any(repeated) {
        Ok(conditions.into_iter().map(|condition| vec![condition]).collect())
    } else {
        Ok(vec![conditions])
    }
}

impl Policy {
    /// Reads a profile. Calls that no table has are left out: they cannot be made.
    ///
    /// A rule without conditions decides its calls alone, whatever stands beside it; of rules with conditions the
    /// first that holds does. A rule whose action is the default says nothing.
    pub(super) fn of(profile: &LinuxSeccomp, native: Arch) -> Result<Self, RuntimeError> {
        let default_action = profile.default_action();
        let default = answer("linux.seccomp.defaultAction", default_action, profile.default_errno_ret())?;
        let newer = Action::ScmpActErrno.as_u32(Some(rustix::io::Errno::NOSYS.raw_os_error().unsigned_abs()));
        let denies = match default_action {
            Action::ScmpActKill
            | Action::ScmpActKillThread
            | Action::ScmpActKillProcess
            | Action::ScmpActTrap
            | Action::ScmpActErrno => true,
            Action::ScmpActNotify | Action::ScmpActTrace | Action::ScmpActLog | Action::ScmpActAllow => false,
        };
        let mut arches = vec![native];
        for arch in profile.architectures().iter().flatten().filter_map(|named| Arch::of(*named, native)) {
            if !arches.contains(&arch) {
                arches.push(arch);
            }
        }
        let mut policy = Self { default, newer, arches: Vec::with_capacity(arches.len()) };
        for arch in arches {
            let numbers = arch.calls();
            let mut calls = Calls { arch, by_number: BTreeMap::new(), newest: None };
            let mut conditional = 0;
            for (place, rule) in profile.syscalls().iter().flatten().enumerate() {
                let field = format!("linux.seccomp.syscalls[{place}]");
                let answer = answer(&field, rule.action(), rule.errno_ret())?;
                let alternatives = alternatives(&field, rule)?;
                for number in rule.names().iter().filter_map(|name| numbers.get(&**name).copied()) {
                    if denies && number & !super::arch::X32_BIT < ARM_PRIVATE {
                        calls.newest = calls.newest.max(Some(number));
                    }
                    if answer != default {
                        conditional += alternatives.iter().filter(|all| !all.is_empty()).count();
                        if conditional > MOST_CONDITIONS {
                            let rule = format!("more than {MOST_CONDITIONS} rules with conditions");
                            return Err(spec("linux.seccomp.syscalls", rule));
                        }
                        calls.add(number, &alternatives, answer);
                    }
                }
            }
            policy.arches.push(calls);
        }
        Ok(policy)
    }
}

impl Calls {
    fn add(&mut self, number: u32, alternatives: &[Vec<Condition>], answer: u32) {
        let unconditional = alternatives.iter().any(Vec::is_empty);
        let decision = self.by_number.entry(number).or_insert_with(|| Decision::When(Vec::new()));
        match decision {
            // The first rule holds, as everywhere: the profiles that are shipped with engines name calls in one list
            // that is allowed, and again in one that is not for those who lack a capability.
            Decision::Always(_) => {}
            Decision::When(_) if unconditional => *decision = Decision::Always(answer),
            Decision::When(rules) => rules.extend(alternatives.iter().map(|all| (all.clone(), answer))),
        }
    }
}
