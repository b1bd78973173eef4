//! How many bytes a watched target keeps on the heap for each hop of its path, after a minute, ten minutes and an hour of rounds.
//!
//! `cargo bench --bench hop_memory`. A path of 10 hops and one of 30 are watched, at one probe a hop and a second: what grows with
//! hops is a twentieth of the difference. Counts, not times: a debug build prints the same.

#[path = "../shared/counting.rs"]
#[expect(dead_code, reason = "each bench counts what it is about")]
mod counting;
mod watched;

use watched::{Kept, kept};

fn main() {
    println!("| path | rounds | hops | rounds B/hop | table B/hop | most B/hop | all B/hop |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (noise, name) in [(false, "steady"), (true, "noisy")] {
        for rounds in [60, 600, 3_600] {
            let [few, many] = [10, 30].map(|hops| kept(hops, rounds, noise));
            line(name, rounds, "10", few, 10);
            line(name, rounds, "30", many, 30);
            let more = Kept {
                rounds: many.rounds - few.rounds,
                table: many.table - few.table,
                most: many.most - few.most,
            };
            line(name, rounds, "one more", more, 20);
        }
    }
}

fn line(path: &str, times: u64, hops: &str, kept: Kept, by: i64) {
    let Kept { rounds, table, most } = kept;
    let all = (rounds + most) / by;
    let [rounds, table, most] = [rounds, table, most].map(|bytes| bytes / by);
    println!("| {path} | {times} | {hops} | {rounds} | {table} | {most} | {all} |");
}
