//! `rtrace --version --verbose`: what keeps a run from doing more than it needs, tried here and now.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;

use super::{Status, write_out};
use crate::sandbox::{self, Active, Profile};
use crate::wire::Evidence;

/// Whether that is what these arguments of the process ask for.
pub fn is_asked_for(given: &[OsString]) -> bool {
    let args = given.get(1..).unwrap_or_default();
    let has =
        |names: &[&str]| args.iter().filter(|arg| names.iter().any(|name| arg == name)).count();
    let (version, verbose, off) = (has(VERSION), has(&["--verbose"]), has(&[NO_SANDBOX]));
    version > 0 && verbose > 0 && version + verbose + off == args.len()
}

const VERSION: &[&str] = &["--version", "-V"];
const NO_SANDBOX: &str = "--no-sandbox";

/// Confines this process as a trace with the same arguments is, and reports what the kernel says of it.
pub fn run(given: &[OsString]) -> anyhow::Result<Status> {
    let off = given.iter().any(|arg| arg == NO_SANDBOX);
    if off {
        sandbox::switch_off();
    }
    // Open before: it cannot be opened afterwards.
    let status = File::open("/proc/self/status");
    let active =
        sandbox::enter(&Profile { network: Some(Evidence::Captured), ..Profile::default() })?;
    let mut said = String::new();
    if let Ok(mut status) = status {
        let _ = status.read_to_string(&mut said);
    }
    write_out(&described(active, off, &said), "the version")?;
    Ok(Status::Reached)
}

fn described(active: Active, off: bool, status: &str) -> String {
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value.trim())
    };
    let capabilities = match field("CapPrm").map(|bits| u64::from_str_radix(bits, 16)) {
        Some(Ok(0)) => "none",
        Some(_) => "SOME ARE LEFT",
        None => "none that is visible without /proc",
    };
    let no_new_privs = match field("NoNewPrivs") {
        Some("1") => "on",
        Some(_) => "OFF",
        None => "on (not verified without /proc)",
    };
    let seccomp = match (active.calls, field("Seccomp")) {
        (Some(calls), Some("2") | None) => format!("{calls} system calls allowed"),
        (Some(_), Some(_)) => "NOT ACTIVE".to_owned(),
        (None, _) if off => SWITCHED_OFF.to_owned(),
        (None, _) => format!("not active: no filter for {}", std::env::consts::ARCH),
    };
    let landlock = match active.landlock {
        Some(abi) => format!("ABI {abi}"),
        None if off => SWITCHED_OFF.to_owned(),
        None => "not active: not in this kernel".to_owned(),
    };
    format!(
        "rtrace {}\ncapabilities: {capabilities}\nno_new_privs: {no_new_privs}\nseccomp: {seccomp}\nLandlock: {landlock}\n",
        env!("CARGO_PKG_VERSION")
    )
}

const SWITCHED_OFF: &str = "switched off by --no-sandbox";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_counts() {
        let all = Active { calls: Some(50), landlock: Some(7) };
        let good = "CapPrm:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let said = described(all, false, good);
        assert!(said.ends_with(
            "\ncapabilities: none\nno_new_privs: on\nseccomp: 50 system calls allowed\nLandlock: ABI 7\n"
        ), "{said}");
        let bad = "CapPrm:\t0000000000002000\nNoNewPrivs:\t0\nSeccomp:\t0\n";
        for words in ["capabilities: SOME", "no_new_privs: OFF", "seccomp: NOT ACTIVE"] {
            assert!(described(all, false, bad).contains(words), "{words}");
        }
        for words in ["seccomp: not active: no filter for", "Landlock: not active"] {
            assert!(described(Active::default(), false, good).contains(words), "{words}");
        }
        let off = described(Active::default(), true, good);
        assert!(off.contains("seccomp: switched off by --no-sandbox\n"), "{off}");
        assert!(off.contains("Landlock: switched off by --no-sandbox\n"), "{off}");
    }

    #[test]
    fn it_is_asked_for_in_either_order_and_alone() {
        let asks = |line: &str| {
            is_asked_for(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        for line in [
            "rtrace --version --verbose",
            "rtrace --verbose -V",
            "rtrace --verbose --version",
            "rtrace --no-sandbox --verbose --version",
            "rtrace --version --no-sandbox --verbose",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "rtrace --version",
            "rtrace --verbose host",
            "rtrace -V --verbose host",
            "rtrace --version --no-sandbox",
            "rtrace --no-sandbox --verbose",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
