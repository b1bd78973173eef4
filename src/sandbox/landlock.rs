//! The files that are left, by landlock(7): what is named, and nothing else. Connections and signals too.
//!
//! By whatever the kernel offers, up to ABI 7: where it has none of it, the rights of the user are the limit.

use std::os::fd::BorrowedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, make_bitflags, path_beneath_rules,
};

/// The newest ABI that this was tried with.
const TRIED: ABI = ABI::V7;

/// What may be done in the directory of a file that is begun, or of several that rotate.
const MAKING: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{WriteFile | MakeReg | Truncate | RemoveFile | ReadDir});
const READING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const TERMINAL: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev});

/// Files, directories and ports that are left.
#[derive(Default)]
pub(super) struct Left<'a> {
    /// Read, with all that is below them.
    pub read: Vec<&'a Path>,
    /// A directory in which files are made.
    pub kept: Option<BorrowedFd<'a>>,
    /// The terminal of the process.
    pub terminal: bool,
    /// TCP ports that are connected to, wherever.
    pub ports: Vec<u16>,
    /// Whether a process that was started before may still be ended.
    pub signals: bool,
}

/// Restricts this thread, and those that it starts, for good. Says by which ABI, if there is one.
pub(super) fn restrict(left: &Left<'_>) -> Result<Option<u32>, RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(TRIED))?
        .handle_access(AccessNet::from_all(TRIED))?
        .scope(Scope::AbstractUnixSocket)?;
    let ruleset = if left.signals { ruleset } else { ruleset.scope(Scope::Signal)? };
    let terminal = left.terminal.then_some("/dev/tty");
    let kept =
        left.kept.map(|directory| Ok::<_, RulesetError>(PathBeneath::new(directory, MAKING)));
    let ports = left.ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(&left.read, READING))?
        .add_rules(path_beneath_rules(terminal, TERMINAL))?
        .add_rules(kept)?
        .add_rules(ports.collect::<Vec<Result<_, RulesetError>>>())?
        .no_new_privs(false) // it is set already
        .restrict_self()?;
    Ok(abi(&status))
}

fn abi(status: &RestrictionStatus) -> Option<u32> {
    match (&status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Some((effective_abi as u32).min(TRIED as u32))
        }
        _ => None,
    }
}
