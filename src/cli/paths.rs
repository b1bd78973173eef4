//! `rtrace paths`: all paths to a target, from the beginning or from where a recording ends.

use anyhow::bail;

use super::earlier::{Earlier, Search};
use super::flags::PathsArgs;
use super::task::Task;
use super::{Status, trace};
use crate::privilege::files;
use crate::trace::paths::Plan;

/// Runs the command.
pub fn run(args: &PathsArgs) -> anyhow::Result<Status> {
    let earlier = args.resume.as_deref().map(Earlier::open).transpose()?;
    if let (Some(from), Some(to)) = (&earlier, &args.trace.pcap)
        && files::is_at(&from.file, to)
    {
        bail!("--resume reads {}: give --pcap the name of another file", from.name);
    }
    let plan = args.plan(earlier.as_ref().map_or_else(Plan::default, |earlier| earlier.plan));
    let search = Search { plan, earlier };
    trace::run(&args.trace, Task::Paths(&search))
}
