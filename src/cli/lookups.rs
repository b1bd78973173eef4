//! What the command line says about looking things up elsewhere: of whom, and in which files.
//!
//! Others are asked by a process of its own ([`Resolvers`]), which is started if there is anything to ask. Files are
//! opened while there is a right to, and read when there is none.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::complain;
use crate::enrich::Annotations;
use crate::enrich::database::{Database, Kind};
use crate::enrich::dns;
use crate::enrich::names::Names;
use crate::enrich::origins::Origins;
use crate::enrich::places::Places;
use crate::privilege::files;
use crate::sandbox::names::Resolvers;

const ASN_DB: &str = "\
Take the autonomous systems from this database, in the form of GeoLite2-ASN or IPinfo's; implies -A";
const GEO_DB: &str = "\
Show country and city of responders from this database, in the form of GeoLite2-City or IPinfo's: {US/New_York}";

/// What is looked up besides names, and where all of it comes from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Names, AS, place")]
pub struct LookupOptions {
    /// Ask this DNS server for whatever is looked up, not the C library and the system's: an address,
    /// or ADDRESS:PORT, [ADDRESS]:PORT in IPv6
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_server)]
    pub resolver: Option<SocketAddr>,

    /// Show the autonomous systems of responders, by Team Cymru's DNS zones if no --asn-db is given:
    /// [AS1/AS2], [*] if there is none, [!!] if it is not known
    #[arg(short = 'A', long)]
    pub as_lookup: bool,

    /// Take the autonomous systems from this database, which implies -A
    #[arg(long, value_name = "FILE.mmdb", help = ASN_DB)]
    pub asn_db: Option<PathBuf>,

    /// Show country and city of responders, from this database
    #[arg(long, value_name = "FILE.mmdb", help = GEO_DB)]
    pub geo_db: Option<PathBuf>,
}

/// The files that are needed, opened while there are privileges to do so; read they are without.
pub struct Files<'a> {
    asn_db: Option<Source<'a>>,
    geo_db: Option<Source<'a>>,
}

/// What they hold.
#[derive(Clone)]
pub struct Databases {
    origins: Option<Arc<Database>>,
    places: Option<Arc<Database>>,
}

struct Source<'a> {
    file: File,
    path: &'a Path,
}

impl LookupOptions {
    /// Opens what is needed.
    pub fn open(&self) -> anyhow::Result<Files<'_>> {
        let [asn_db, geo_db] =
            [&self.asn_db, &self.geo_db].map(|path| path.as_deref().map(Source::open).transpose());
        Ok(Files { asn_db: asn_db?, geo_db: geo_db? })
    }

    /// Starts the process that looks up what others are asked for, if that is anything: names, or origins. Those that it
    /// asks by DNS are given up after `wait`.
    pub fn resolvers(&self, names: bool, wait: Duration) -> anyhow::Result<Option<Resolvers>> {
        let asked = names || (self.as_lookup && self.asn_db.is_none());
        Ok(asked.then(|| Resolvers::start(self.resolver, wait, complain)).transpose()?)
    }

    /// What is said of responders: the names that are `known` or, where that is `None`, those that others have; and what
    /// else is asked for. Others are asked by `resolvers`, and given up after `wait`.
    pub fn annotations(
        &self,
        known: Option<Names>,
        databases: &Databases,
        resolvers: Option<&Resolvers>,
        wake: impl Fn() + Send + 'static,
        wait: Duration,
    ) -> Annotations {
        let (asked, origins) = resolvers.map(|it| it.lookups(wake, wait)).unzip();
        let names = known.or(asked).unwrap_or_else(|| Names::fixed::<&str>([]));
        let Databases { origins: asn_db, places } = databases.clone();
        let origins = asn_db.map(Origins::of_database).or(origins.filter(|_| self.as_lookup));
        let places = places.map(Places::of_database);
        Annotations { origins, places, ..names.into() }
    }
}

impl Files<'_> {
    /// Reads them.
    pub fn read(self) -> anyhow::Result<Databases> {
        let read = |source: Option<Source<'_>>, kind| source.map(|it| it.read(kind)).transpose();
        Ok(Databases {
            origins: read(self.asn_db, Kind::Origins)?,
            places: read(self.geo_db, Kind::Places)?,
        })
    }
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> anyhow::Result<Self> {
        match files::read_regular(path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                bail!("{} is not a file: name a MaxMind DB file", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    fn read(self, kind: Kind) -> anyhow::Result<Arc<Database>> {
        let name = self.path.display().to_string();
        Ok(Arc::new(Database::read(self.file, &name, kind)?))
    }
}

fn parse_server(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let server = address.map(|address| SocketAddr::new(address, dns::PORT));
    let server = server.or_else(|_| text.parse()).ok().filter(|server| server.port() != 0);
    server.ok_or_else(|| "it must be an address, or ADDRESS:PORT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_server;

    #[test]
    fn a_server_is_an_address_and_perhaps_a_port() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1:53")),
            ("192.0.2.1:5353", Some("192.0.2.1:5353")),
            ("2001:db8::1", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]:5353", Some("[2001:db8::1]:5353")),
            ("192.0.2.1:0", None),
            ("dns.example", None),
            ("", None),
        ] {
            let server = parse_server(text).ok().map(|server| server.to_string());
            assert_eq!(server.as_deref(), expected, "{text}");
        }
    }
}
