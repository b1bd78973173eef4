//! What the command line says about looking things up elsewhere: of whom, and in which files.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::enrich::Annotations;
use crate::enrich::database::{Database, Kind};
use crate::enrich::dns::{self, Dns};
use crate::enrich::names::Names;
use crate::enrich::origins::Origins;
use crate::enrich::places::Places;
use crate::privilege::files;

const ASN_DB: &str = "\
Take the autonomous systems from this database, in the form of GeoLite2-ASN or IPinfo's; implies -A";
const GEO_DB: &str = "\
Show country and city of responders from this database, in the form of GeoLite2-City or IPinfo's: {US/New_York}";

/// What is looked up besides names, and where all of it comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Names, AS, place")]
pub struct LookupOptions {
    /// Ask this DNS server for whatever is looked up, not the C library and the system's: an address,
    /// or ADDRESS:PORT, [ADDRESS]:PORT in IPv6
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_server)]
    pub resolver: Option<SocketAddr>,

    /// Show the autonomous systems of responders, by Team Cymru's DNS zones if no --asn-db is given:
    /// [AS1/AS2], [*] if there is none, [!!] if it cannot be told
    #[arg(short = 'A', long)]
    pub as_lookup: bool,

    /// Take the autonomous systems from this database, which implies -A
    #[arg(long, value_name = "FILE.mmdb", help = ASN_DB)]
    pub asn_db: Option<PathBuf>,

    /// Show country and city of responders, from this database
    #[arg(long, value_name = "FILE.mmdb", help = GEO_DB)]
    pub geo_db: Option<PathBuf>,
}

/// The files that are needed, opened before capabilities are dropped; read they are without.
pub struct Sources<'a> {
    options: &'a LookupOptions,
    asn_db: Option<Source<'a>>,
    geo_db: Option<Source<'a>>,
}

struct Source<'a> {
    file: File,
    path: &'a Path,
}

impl LookupOptions {
    /// Opens what is needed.
    pub fn open(&self) -> anyhow::Result<Sources<'_>> {
        let [asn_db, geo_db] =
            [&self.asn_db, &self.geo_db].map(|path| path.as_deref().map(Source::open).transpose());
        Ok(Sources { options: self, asn_db: asn_db?, geo_db: geo_db? })
    }

    /// Names, asked of whom it says, each given up after `wait`.
    pub fn names(&self, wake: impl Fn() + Send + Sync + 'static, wait: Duration) -> Names {
        let Some(server) = self.resolver else { return Names::new(wake, wait) };
        let dns = Dns::at(server, wait);
        Names::with_resolver(move |address| dns.name(address), wake, wait)
    }
}

impl Sources<'_> {
    /// Names and what else is asked for. What is asked by DNS is given up after `wait`.
    pub fn annotate(
        self,
        names: Names,
        wake: impl Fn() + Send + Sync + 'static,
        wait: Duration,
    ) -> anyhow::Result<Annotations> {
        let LookupOptions { resolver, as_lookup, .. } = self.options;
        let origins = match self.asn_db {
            Some(source) => Some(Origins::of_database(source.read(Kind::Origins)?)),
            None if *as_lookup => {
                let system = || Dns::of_system(wait);
                let dns = resolver.map_or_else(system, |server| Dns::at(server, wait));
                Some(Origins::of_cymru(&dns, wake, wait))
            }
            None => None,
        };
        let places = self.geo_db.map(|source| source.read(Kind::Places)).transpose()?;
        Ok(Annotations { names, origins, places: places.map(Places::of_database) })
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
