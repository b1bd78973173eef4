//! The system calls that are left, by seccomp(2).
//!
//! Three programs in a row judge a call: it is deadly, or said not to exist, or on the list of what this run needs.
//! What is on no list is answered EPERM, which libraries take for a want of rights. The order of the programs is that
//! of gravity, and one goes on where the one before has nothing to say.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::SandboxError;
use super::calls::{ABSENT, ALWAYS_IF, DEADLY, EVERY_RUN, Test, Use};

/// `BPF_RET | BPF_K` and `BPF_JMP | BPF_JA` of `linux/bpf_common.h`.
const RETURN: u16 = 0x06;
const JUMP: u16 = 0x05;

/// Calls that are allowed, and of whom a signal may be sent to.
pub(super) struct Allowed(BTreeMap<i64, Vec<SeccompRule>>);

impl Allowed {
    /// What every run needs, and these. A process may stop or abort itself, and end `child`.
    pub(super) fn of(uses: &[Use], child: Option<u32>) -> Result<Self, SandboxError> {
        let mut allowed = Self(BTreeMap::new());
        for (call, tests) in ALWAYS_IF {
            allowed.when(*call, tests)?;
        }
        allowed.when(libc::SYS_tgkill, &[(0, Test::Is(std::process::id()))])?;
        if let Some(child) = child {
            let end = libc::SIGKILL.cast_unsigned();
            allowed.when(libc::SYS_kill, &[(0, Test::Is(child)), (1, Test::Is(end))])?;
        }
        // musl's raise, which names a thread only.
        #[cfg(target_env = "musl")]
        allowed.always(&[libc::SYS_tkill]);
        for used in uses {
            for (call, tests) in used.rules().into_iter().flatten() {
                allowed.when(*call, tests)?;
            }
            used.calls().into_iter().for_each(|calls| allowed.always(calls));
        }
        for calls in EVERY_RUN {
            allowed.always(calls);
        }
        Ok(allowed)
    }

    /// Allows these calls with any arguments, and replaces earlier rules for them.
    fn always(&mut self, calls: &[c_long]) {
        self.0.extend(calls.iter().map(|call| (*call, Vec::new())));
    }

    /// If all of this is true of the arguments; a call has several such rules, or needs none.
    fn when(&mut self, call: c_long, tests: &[(u8, Test)]) -> Result<(), SandboxError> {
        if tests.is_empty() {
            self.always(&[call]);
            return Ok(());
        }
        let conditions = tests.iter().map(|(index, test)| test.condition(*index));
        let rule = conditions.collect::<Result<_, _>>().and_then(SeccompRule::new);
        let rule = rule.map_err(|error| SandboxError::seccomp(&error))?;
        match self.0.get_mut(&call) {
            Some(rules) if rules.is_empty() => {}
            Some(rules) => rules.push(rule),
            None => drop(self.0.insert(call, vec![rule])),
        }
        Ok(())
    }

    /// How many calls there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Allows these calls, to all threads there are and will be, for good.
    pub(super) fn install(self) -> Result<(), SandboxError> {
        let unconditional =
            |calls: &[c_long]| calls.iter().map(|call| (*call, Vec::new())).collect();
        let errno = |number: i32| SeccompAction::Errno(number.cast_unsigned());
        let deadly =
            compile(unconditional(DEADLY), SeccompAction::Allow, SeccompAction::KillProcess)?;
        let absent = compile(unconditional(ABSENT), SeccompAction::Allow, errno(libc::ENOSYS))?;
        let allowed = compile(self.0, errno(libc::EPERM), SeccompAction::Allow)?;
        let program = then(deadly, then(absent, allowed));
        seccompiler::apply_filter_all_threads(&program)
            .map_err(|error| SandboxError::seccomp(&error))
    }
}

impl Test {
    fn condition(self, index: u8) -> Result<SeccompCondition, seccompiler::BackendError> {
        let (operator, value) = match self {
            Self::Is(value) => (SeccompCmpOp::Eq, value),
            Self::Masked(mask, value) => (SeccompCmpOp::MaskedEq(mask.into()), value),
            Self::Has(bits) => (SeccompCmpOp::MaskedEq(bits.into()), bits),
            Self::Lacks(bits) => (SeccompCmpOp::MaskedEq(bits.into()), 0),
            Self::Null => {
                let length = SeccompCmpArgLen::Qword;
                return SeccompCondition::new(index, length, SeccompCmpOp::Eq, 0);
            }
        };
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value.into())
    }
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, SandboxError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH);
    machine
        .and_then(|machine| SeccompFilter::new(rules, otherwise, matched, machine))
        .and_then(BpfProgram::try_from)
        .map_err(|error| SandboxError::seccomp(&error))
}

/// One program in place of two: what the first would allow is for the second to judge.
fn then(first: BpfProgram, second: BpfProgram) -> BpfProgram {
    let end = first.len();
    let mut program = first;
    for (at, instruction) in program.iter_mut().enumerate() {
        if (instruction.code, instruction.k) == (RETURN, libc::SECCOMP_RET_ALLOW) {
            instruction.code = JUMP;
            instruction.k = u32::try_from(end - at - 1).unwrap_or(u32::MAX);
        }
    }
    program.extend(second);
    program
}
