//! Whether `rtrace diff` and `rtrace watch` say "changed" of networks that have not, and find what has: a number of runs of each kind, in
//! virtual time. `cargo bench --bench changes -- [KIND [RUNS [WORD...]]]`: KIND is `diff`, `maps`, `watch` or `all`, a name has to
//! have every WORD. Of each title the kinds are listed that say "changed" more often (of networks that have not) or less often (of
//! such that have) than they may, 1 and 190 of 200, and how many kinds there were.

mod compared;
mod mapped;
mod simulated;
mod watched;

use std::thread;

use simulated::Kind;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let what = args.first().map_or("all", String::as_str);
    let runs = args.get(1).and_then(|runs| runs.parse().ok()).unwrap_or(200);
    let words = args.get(2..).unwrap_or_default();
    let table = |name: &str, title: &str, kinds: Vec<Kind>, changed: bool| {
        if [name, "all"].contains(&what) {
            let named = |it: &Kind| words.iter().all(|word| it.0.contains(word.as_str()));
            let kinds: Vec<Kind> = kinds.into_iter().filter(named).collect();
            table(title, &kinds, changed, runs);
        }
    };
    table("diff", "diff, unchanged", compared::unchanged(), false);
    table("diff", "diff, changed", compared::changed(), true);
    table("maps", "diff of maps, unchanged", mapped::unchanged(), false);
    table("maps", "diff of maps, changed", mapped::changed(), true);
    table("watch", "watch, unchanged", watched::unchanged(40), false);
    table("watch", "watch, unchanged", watched::unchanged(100), false);
    table("watch", "watch, changed", watched::changed(21, 10), true);
}

fn table(title: &str, kinds: &[Kind], has_changed: bool, runs: u64) {
    let threads = thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let (mut count, mut bad, mut sum) = (0, 0, 0);
    for Kind(name, says) in kinds {
        let part = |first| {
            let numbers = (first..runs).step_by(usize::try_from(threads).unwrap());
            numbers.filter(|run| says(*run)).count() as u64
        };
        let changed: u64 = thread::scope(|scope| {
            let parts: Vec<_> =
                (0..threads).map(|first| scope.spawn(move || part(first))).collect();
            parts.into_iter().map(|part| part.join().unwrap()).sum()
        });
        (count, sum) = (count + 1, sum + changed);
        let fails = if has_changed { changed * 200 < runs * 190 } else { changed * 200 > runs };
        if fails {
            bad += 1;
            println!("{title}: {changed:4} of {runs} say changed: {name}");
        }
    }
    println!(
        "{title}: {sum} of {} say changed; {bad} of {count} kinds miss the aim\n",
        count * runs
    );
}
