//! Whether the links and routers of `rtrace paths` are those that there are: tables in Markdown.
//!
//! Diamonds of several shapes, each with another seed for what its routers hash, without loss, with loss, and with routers that
//! limit their answers; then routers that share one IP-ID counter, and routers that answer with several addresses.
//! Every link that is drawn is held against the network and against the flows that took it.

mod truth;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rtrace::trace::paths::{Network, Plan};
use truth::{BY_FLOW, BY_PACKET, Shape, Verdict, address, run};

/// Runs of each shape under each condition, unless the first argument has another number.
const RUNS: u64 = 300;

/// What replies suffer, as lines for each router.
const CONDITIONS: [(&str, &str); 5] = [
    ("none", ""),
    ("5 % lost", "reply_loss = 0.05\n"),
    ("20 % lost", "reply_loss = 0.2\n"),
    ("100/s, 20 at once", "rate = { per_second = 100, burst = 20 }\n"),
    ("10/s, 10 at once", "rate = { per_second = 10, burst = 10 }\n"),
];

fn table_of_links(runs: u64) {
    println!(
        "Links against the truth, {runs} runs of each row. Certain: links drawn without a doubt; made up: those that the network does not\n\
         have, or that no flow of the run took; miscounted: those with another number of flows than were answered at both ends (where \n\
         all choose by the flow); found: links of the network that are drawn as certain; drawn: those that are drawn at all.\n"
    );
    println!(
        "| network | limits | certain | made up | miscounted | found | drawn | probes, mean |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    for shape in BY_FLOW.iter().chain(&BY_PACKET) {
        for (condition, line) in CONDITIONS {
            let mut sum = Verdict::default();
            for seed in 1..=runs {
                let topology = shape.topology(seed, |_| line.to_owned());
                let done = run(topology.clone(), Plan::default());
                sum.add(&Verdict::of(shape, &topology, &done));
            }
            let Verdict { truth, certain, made_up, miscounted, found, drawn, probes } = sum;
            println!(
                "| {} | {condition} | {certain} | {made_up} | {miscounted} | {} | {} | {:.1} |",
                shape.name,
                percent(found, truth),
                percent(drawn, truth),
                real(probes) / real(runs)
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn real(count: u64) -> f64 {
    count as f64
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.2} %", real(part as u64) / real(whole.max(1) as u64) * 100.0)
}

/// Addresses that a map takes for those of one router.
fn merged(network: &Network) -> Vec<BTreeSet<IpAddr>> {
    let own = |router: &rtrace::trace::paths::Router| {
        router.address.into_iter().chain(router.also.iter().copied()).collect::<BTreeSet<_>>()
    };
    let several = network.routers.iter().filter(|it| !it.also.is_empty()).map(own);
    let groups = network.aliases.iter().map(|group| {
        group.iter().filter_map(|it| network.routers.get(*it)).flat_map(own).collect()
    });
    several.chain(groups).collect()
}

/// A number of consecutive routers of the alphabet, from this one on, that share a counter; none if all are of one hop.
fn sharing(shape: &Shape, size: usize, seed: u64) -> Option<BTreeSet<char>> {
    let letters: Vec<char> = shape.letters().into_iter().collect();
    let starts = letters.len().checked_sub(size)? + 1;
    let start = usize::try_from(seed).ok()? % starts;
    let shared: BTreeSet<char> = letters.into_iter().skip(start).take(size).collect();
    let beside = |part: &str| shared.iter().all(|letter| part.contains(*letter));
    let parts = shape.links.split(' ').filter_map(|part| part.split_once('>'));
    let alone = parts.flat_map(|(from, to)| [from, to]).any(beside)
        || shape.name == "12 addresses by packet" && beside("efghij")
        || beside("defg");
    (!alone).then_some(shared)
}

fn table_of_shared_counters(runs: u64) {
    println!(
        "\nDistinct routers that share one IP-ID counter, {runs} runs of each row: neighbours on the path, not only side by side. Merged: runs in which any\n\
         two routers are taken for one. By packet: runs in which the router that chooses for each packet is named.\n"
    );
    println!("| network | routers that share | runs | merged | by packet | probes, mean |");
    println!("|---|--:|--:|--:|--:|--:|");
    for shape in BY_PACKET.iter().chain(&BY_FLOW[..2]) {
        for size in 2..=8 {
            let (mut count, mut wrong, mut named, mut probes) = (0, 0, 0, 0);
            for seed in 1..=runs {
                let Some(shared) = sharing(shape, size, seed) else { continue };
                let counter = |it| if shared.contains(&it) { "counter = 1\n" } else { "" };
                let done = run(shape.topology(seed, |it| counter(it).to_owned()), Plan::default());
                let chooses = |letter: char| {
                    done.network
                        .routers
                        .iter()
                        .any(|it| it.address == Some(address(letter)) && it.per_packet)
                };
                count += 1;
                wrong += u64::from(!merged(&done.network).is_empty());
                named += u64::from(
                    !shape.per_packet.is_empty() && shape.per_packet.chars().all(chooses),
                );
                probes += done.path.totals.sent;
            }
            let mean = real(probes) / real(count).max(1.0);
            println!("| {} | {size} | {count} | {wrong} | {named} | {mean:.1} |", shape.name);
        }
    }
}

fn table_of_aliases(runs: u64) {
    println!(
        "\nA router of three addresses with a counter of its own, {runs} runs of each row: in how many it is one router in the map.\n"
    );
    println!("| network | its router | limits | found | others merged | probes, mean |");
    println!("|---|---|---|--:|--:|--:|");
    let cases = [
        (&BY_FLOW[0], 'a'),
        (&BY_FLOW[0], 'k'),
        (&BY_FLOW[1], 'h'),
        (&BY_FLOW[2], 'f'),
        (&BY_FLOW[4], 'h'),
        (&BY_PACKET[0], 'f'),
    ];
    for (shape, letter) in cases {
        let IpAddr::V4(first) = address(letter) else { continue };
        let [_, _, third, _] = first.octets();
        let own: BTreeSet<IpAddr> = [1, 2, 3].map(|last| IpAddr::from([10, 0, third, last])).into();
        for (condition, line) in &CONDITIONS[..3] {
            let (mut found, mut wrong, mut probes) = (0, 0, 0);
            for seed in 1..=runs {
                let also = format!("also = [\"10.0.{third}.2\", \"10.0.{third}.3\"]\n");
                let also = |it| if it == letter { also.as_str() } else { "" };
                let done =
                    run(shape.topology(seed, |it| format!("{line}{}", also(it))), Plan::default());
                let groups = merged(&done.network);
                found += u64::from(groups.contains(&own));
                wrong += u64::from(groups.iter().any(|group| !group.is_subset(&own)));
                probes += done.path.totals.sent;
            }
            println!(
                "| {} | {letter} | {condition} | {found} | {wrong} | {:.1} |",
                shape.name,
                real(probes) / real(runs)
            );
        }
    }
}

fn main() -> anyhow::Result<()> {
    let runs = std::env::args().nth(1).map_or(Ok(RUNS), |runs| runs.parse())?;
    table_of_links(runs);
    table_of_shared_counters(runs);
    table_of_aliases(runs);
    Ok(())
}
