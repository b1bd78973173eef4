//! The lookups: what, from which server, and in which files.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::enrich::dns;

const ASN_DB: &str = "\
Take the autonomous systems from this database, in the format of GeoLite2-ASN or IPinfo; implies -A";
const GEO_DB: &str = "\
Show country and city of responders from this database, in the format of GeoLite2-City or IPinfo: {US/New_York}";

/// The lookups besides names, and the sources of all of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Names, AS, place")]
pub struct LookupOptions {
    /// Use this DNS server for all lookups, instead of the C library and the system's: an address,
    /// or ADDRESS:PORT, [ADDRESS]:PORT in IPv6
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_server)]
    pub resolver: Option<SocketAddr>,

    /// Show the autonomous systems of responders, from Team Cymru's DNS zones unless --asn-db is given:
    /// [AS1/AS2], [*] if there is none, [!!] if unknown
    #[arg(short = 'A', long)]
    pub as_lookup: bool,

    /// Take the autonomous systems from this database, which implies -A
    #[arg(long, value_name = "FILE.mmdb", help = ASN_DB)]
    pub asn_db: Option<PathBuf>,

    /// Show country and city of responders, from this database
    #[arg(long, value_name = "FILE.mmdb", help = GEO_DB)]
    pub geo_db: Option<PathBuf>,
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
