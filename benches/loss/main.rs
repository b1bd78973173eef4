//! What lost probes are said to mean, over emulated cases: limits that are taken for loss of the path, and loss of the path that
//! is not found. `cargo bench --bench loss -- [LIMITS [PATHS [FIRST]]]`

mod cases;

use std::collections::BTreeMap;
use std::thread;

use cases::Case;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let mut next = |default| args.next().unwrap_or(default);
    let (limits, paths, first) = (next(200), next(200), next(0));
    report("limits, taken for loss of the path", first..first + limits, Case::limit);
    let held_out = "other limits, which others use up, taken for loss of the path";
    report(held_out, first..first + limits, Case::held_out);
    report("paths that lose, not found", first..first + paths, Case::path);
}

/// Runs these cases, and tells of those that are judged wrongly.
fn report(what: &str, numbers: std::ops::Range<u64>, case: fn(u64) -> Case) {
    let threads = thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let judge = |number: u64| {
        let case = case(number);
        let outcome = case.run();
        let right = case.is_right(&outcome);
        if !right {
            let Case { what, probe, queries, interval, rounds, lossy, .. } = &case;
            println!(
                "{number}: {what}: {probe:?} -q {queries} -i {interval} --rounds {rounds}, lossy {lossy:?}"
            );
            if std::env::var_os("SHOW").is_some() {
                println!("{}", case.topology);
                for (row, verdict) in outcome.table.rows().iter().zip(outcome.verdicts()) {
                    println!(
                        "  {} {}/{} {verdict:?} {:?}",
                        row.ttl,
                        row.lost(),
                        row.sent,
                        row.explained()
                    );
                }
                println!("  {:?}", outcome.turns);
            }
        }
        (case.what, right)
    };
    let part = |thread: u64| -> Vec<(&str, bool)> {
        let mine = numbers.clone().filter(|number| number % threads == thread);
        mine.map(judge).collect()
    };
    let judged: Vec<(&str, bool)> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|it| scope.spawn(move || part(it))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let wrong = judged.iter().filter(|(_, right)| !right).count();
    println!("{what}: {wrong} of {}", judged.len());
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (kind, right) in judged {
        let (all, wrong) = kinds.entry(kind).or_default();
        (*all, *wrong) = (*all + 1, *wrong + usize::from(!right));
    }
    for (kind, (all, wrong)) in kinds {
        println!("    {wrong:3} of {all:3}  {kind}");
    }
}
