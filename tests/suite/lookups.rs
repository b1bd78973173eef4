//! What databases say of responders: read in both their forms, shown in every form of report, the
//! same again in a replay that asks for it; and files that are wrong.

use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::enrich::database::{Database, Kind};
use rtrace::enrich::origins::Origin;
use rtrace::enrich::places::Place;
use rtrace::render::Form;
use rtrace::untrusted::Untrusted;

use crate::golden::validator;
use crate::mmdb::{self, Mmdb, Value, text};
use crate::support::{path_in, replay, run, scratch};

const TARGET: &str = "203.0.113.9";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn read(database: &Mmdb, kind: Kind) -> Result<Database, String> {
    let bytes = database.to_bytes();
    Database::read(bytes.as_slice(), "test.mmdb", kind).map_err(|error| error.to_string())
}

#[test]
fn systems_are_read_in_both_forms() {
    let origin = |number, name: Option<&str>| {
        Some(Origin { numbers: vec![number], name: name.map(Untrusted::from) })
    };
    let maxmind = read(&mmdb::geolite_asn(), Kind::Origins).unwrap();
    for (of, expected) in [
        ("198.51.100.7", origin(64_500, Some("Example Transit, Inc."))),
        ("203.0.113.9", origin(4_200_000_000, Some("evil??2J ?b??"))),
        ("2001:db8:113::9", origin(64_501, Some(&"x".repeat(255)))),
        ("192.0.2.1", Some(Origin::default())),
        ("2001:db8:2::1", Some(Origin::default())),
    ] {
        assert_eq!(maxmind.origin(address(of)), expected, "{of}");
    }
    for number in [Value::Short(64_500), Value::Number(64_500), Value::Long(64_500)] {
        let record = Value::Map(vec![("autonomous_system_number", number)]);
        let own = read(&Mmdb::new("own").with("192.0.2.0/24", &record), Kind::Origins).unwrap();
        let origin = own.origin("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(origin.numbers, [64_500]);
    }
    let ipinfo = read(&mmdb::ipinfo_asn(), Kind::Origins).unwrap();
    let transit = origin(64_500, Some("Example Transit, Inc."));
    assert_eq!(ipinfo.origin(address("198.51.100.7")), transit);
    assert_eq!(ipinfo.origin(address("203.0.113.9")), Some(Origin::default()), "AS-1 is no number");
}

#[test]
fn places_are_read_in_both_forms() {
    let place = |country: Option<&str>, city: Option<&str>| {
        Some(Place { country: country.map(Untrusted::from), city: city.map(Untrusted::from) })
    };
    for (database, of, expected) in [
        (mmdb::geolite_city(), "198.51.100.7", place(Some("US"), Some("New York"))),
        (mmdb::geolite_city(), TARGET, place(None, Some("??0?x? (192.0.2.1) 9.9 ms"))),
        (mmdb::geolite_city(), "192.0.2.1", place(None, None)),
        (mmdb::ipinfo_city(), "198.51.100.7", place(Some("BR"), Some("S\u{e3}o Paulo"))),
        (mmdb::ipinfo_city(), TARGET, place(Some("AU"), None)),
    ] {
        let database = read(&database, Kind::Places).unwrap();
        assert_eq!(database.place(address(of)), expected, "{of}");
    }
}

#[test]
fn a_database_of_another_kind_is_refused() {
    let odd = Mmdb::new("odd\x1b").with("192.0.2.0/24", &Value::Map(vec![("asn", text("5"))]));
    for (database, kind, words) in [
        (mmdb::geolite_city(), Kind::Origins, "\"GeoLite2-City\" and holds no numbers"),
        (mmdb::ipinfo_asn(), Kind::Places, "holds no countries"),
        (odd, Kind::Origins, "\"odd?\" and holds no numbers"),
        (Mmdb::new("empty"), Kind::Places, "holds no countries"),
    ] {
        let error = read(&database, kind).map(drop).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

proptest! {
    /// Whatever is wrong with a file, it is refused or gives something or nothing, and no more happens.
    #[test]
    fn no_file_causes_a_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        for (database, kind) in [
            (mmdb::geolite_asn(), Kind::Origins),
            (mmdb::geolite_city(), Kind::Places),
        ] {
            let mut bytes = database.to_bytes();
            for (index, byte) in &changes {
                let len = bytes.len();
                bytes[index.index(len)] = *byte;
            }
            let Ok(database) = Database::read(bytes.as_slice(), "x", kind) else { continue };
            for of in ["198.51.100.7", TARGET, "2001:db8:113::9", "::"] {
                let shown = format!("{:?}{:?}", database.origin(address(of)), database.place(address(of)));
                prop_assert!(!shown.contains("\\u{1b}") && !shown.contains('<'), "{}", shown);
            }
        }
    }
}

/// The options that ask for everything, from databases in `dir`.
fn everything(dir: &tempfile::TempDir) -> [&'static str; 4] {
    let asn = mmdb::geolite_asn().save(path_in(dir, "asn.mmdb"));
    let geo = mmdb::geolite_city().save(path_in(dir, "geo.mmdb"));
    let [asn, geo] = [asn, geo].map(|path| &*path.display().to_string().leak());
    ["--asn-db", asn, "--geo-db", geo]
}

#[test]
fn text_has_them_behind_the_address() {
    let dir = scratch();
    let options = everything(&dir);
    let report = run(&[&["--simulate", TARGET], &options[..]].concat()).stdout;
    for line in [
        " 1  gateway.home.example (192.0.2.1) [*]  ",
        " 2  access3.isp.example (198.51.100.1) [AS64500] {US/New_York}  ",
        "target.example (203.0.113.9) [AS4200000000] {/??0?x?_?192.0.2.1?_9.9_ms}  ",
        " 6  * * *",
    ] {
        assert!(report.contains(line), "{line} is missing in\n{report}");
    }
    // Not once per probe: as the address.
    assert_eq!(report.matches("[*]").count(), 2, "{report}");
    let numeric = run(&["--simulate", "-n", "-A", options[0], options[1], TARGET]).stdout;
    assert!(numeric.contains(" 2  198.51.100.1 [AS64500]  "), "{numeric}");
    // Without them the report is what it was.
    let bare = report.replace(" [*]", "").replace(" [AS64500]", "").replace(" {US/New_York}", "");
    let bare = bare.replace(" [AS4200000000] {/??0?x?_?192.0.2.1?_9.9_ms}", "");
    assert_eq!(bare, run(&["--simulate", TARGET]).stdout);
}

#[test]
fn json_has_them_as_its_schema_says() {
    let dir = scratch();
    let options = everything(&dir);
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&run(args).stdout).unwrap() };
    let document = json(&[&["--simulate", "--json", TARGET], &options[..]].concat());
    let faults: Vec<_> = validator().iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let about = |hop: usize| {
        let reply = &document["hops"][hop]["probes"][0]["replies"][0];
        ["asn", "as_name", "country", "city"].map(|key| reply[key].clone())
    };
    let none = serde_json::Value::Null;
    assert_eq!(about(0), [serde_json::json!([]), none.clone(), none.clone(), none.clone()]);
    let [asn, name, country, city] = about(1);
    assert_eq!((asn, country, city), (serde_json::json!([64500]), "US".into(), "New York".into()));
    assert_eq!(name, "Example Transit, Inc.");
    let bare = json(&["--simulate", "--json", TARGET]).to_string();
    for key in ["asn", "as_name", "country", "city"] {
        assert!(!bare.contains(&format!("\"{key}\"")), "{key} unasked");
    }
}

#[test]
fn lines_and_tables_have_them_too() {
    let dir = scratch();
    let options = everything(&dir);
    let report =
        |form| run(&[&["--simulate", "--format", form, TARGET], &options[..]].concat()).stdout;
    let lines = report("ndjson");
    for line in [
        r#"{"event":"attributed","responder":"192.0.2.1","asn":[],"as_name":null}"#,
        r#"{"event":"attributed","responder":"198.51.100.1","asn":[64500],"as_name":"Example Transit, Inc."}"#,
        r#"{"event":"located","responder":"198.51.100.1","country":"US","city":"New York"}"#,
    ] {
        assert_eq!(lines.lines().filter(|it| *it == line).count(), 1, "{line}\n{lines}");
    }
    let table = report("csv");
    let mut rows = table.lines();
    assert!(rows.next().unwrap().ends_with(",more_replies,clock_fault,asn,as_name,country,city"));
    assert!(rows.next().unwrap().ends_with(",0,false,,,,"), "{table}");
    assert!(table.contains(",64500,\"Example Transit, Inc.\",US,New York\n"), "{table}");
    for form in ["atlas", "scamper"] {
        assert_eq!(report(form), run(&["--simulate", "--format", form, TARGET]).stdout);
    }
}

/// Annotations are no part of a recording: a replay has them if it asks for them, and they are the same.
#[test]
fn a_replay_that_asks_shows_the_same() {
    let dir = scratch();
    let options = everything(&dir);
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    for form in Form::ALL {
        let form = ["--format", form.describe().0];
        let live =
            run(&[&["--simulate", "--pcap", path, TARGET], &form[..], &options[..]].concat());
        assert_eq!(replay(&recording, &[&form[..], &options[..]].concat()).stdout, live.stdout);
        let bare = run(&[&["--simulate", TARGET], &form[..]].concat());
        assert_eq!(replay(&recording, &form).stdout, bare.stdout, "unasked");
    }
}

#[test]
fn a_wrong_file_is_said_in_one_line_before_anything_is_sent() {
    let dir = scratch();
    let good = mmdb::geolite_asn();
    let bytes = good.to_bytes();
    let mut torn = bytes.clone();
    torn.drain(100..400);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(path_in(&dir, name), bytes).unwrap();
        path_in(&dir, name).display().to_string()
    };
    let city = mmdb::geolite_city().save(path_in(&dir, "city.mmdb")).display().to_string();
    let recording = path_in(&dir, "a.pcapng");
    run(&["--simulate", "--pcap", recording.to_str().unwrap(), TARGET]);
    for (option, file, words) in [
        ("--asn-db", write("text.mmdb", b"no database at all"), "not a MaxMind DB file"),
        ("--asn-db", write("empty.mmdb", b""), "not a MaxMind DB file"),
        ("--asn-db", write("half.mmdb", &bytes[..bytes.len() / 2]), "not a MaxMind DB file"),
        ("--asn-db", write("torn.mmdb", &torn), "torn.mmdb"),
        ("--asn-db", city, "holds no numbers"),
        (
            "--geo-db",
            good.save(path_in(&dir, "asn.mmdb")).display().to_string(),
            "holds no countries",
        ),
        ("--geo-db", "/nonexistent/x.mmdb".to_owned(), "/nonexistent/x.mmdb"),
        ("--geo-db", dir.path().display().to_string(), "is not a file"),
    ] {
        let replayed = ["replay", recording.to_str().unwrap()];
        for run_of in [&["--simulate", TARGET][..], &replayed] {
            let failed = run(&[run_of, &[option, &file]].concat());
            assert_eq!(
                (failed.status, failed.stdout.as_str()),
                (2, ""),
                "{file}: {}",
                failed.stderr
            );
            assert!(failed.stderr.starts_with("rtrace: "), "{}", failed.stderr);
            assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
            assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
        }
    }
}
