use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Spaces are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn entry(label: u32, tc: u8, bottom: bool, ttl: u8) -> LabelStackEntry {
    LabelStackEntry { label, tc, bottom, ttl }
}

fn sample(compliant: bool, checksum: Checksum) -> Extension {
    let stack = vec![entry(100, 0, false, 1), entry(0xf_ffff, 7, true, 255)];
    let objects = vec![Object::MplsLabelStack(stack)];
    Extension { compliant, checksum, objects, ending: Ending::Whole }
}

/// Objects as they stand in the structure, and how they are understood and printed.
#[test]
fn objects_are_understood() {
    let unknown =
        |class, c_type, payload: &str| Object::Unknown { class, c_type, payload: hex(payload) };
    let interface =
        |role| InterfaceInformation { role, ifindex: None, address: None, name: None, mtu: None };
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let cases = [
        // RFC 4950: label stack objects of one and of two entries.
        (
            "0008 0101 00064 1 01",
            Object::MplsLabelStack(vec![entry(100, 0, true, 1)]),
            "MPLS:L=100,E=0,S=1,T=1",
        ),
        (
            "000c 0101 18960 a fe fffff f 00",
            Object::MplsLabelStack(vec![
                entry(100_704, 5, false, 254),
                entry(0xf_ffff, 7, true, 0),
            ]),
            "MPLS:L=100704,E=5,S=0,T=254/L=1048575,E=7,S=1,T=0",
        ),
        // RFC 5837 §4: all four fields of an incoming interface, then each by itself in other roles.
        (
            "001c 020f 00000003 0001 0000 c0000201 08 65746831 2f30 00 000005dc",
            Object::InterfaceInformation(InterfaceInformation {
                ifindex: Some(3),
                address: Some(address.into()),
                name: Some(b"eth1/0".to_vec()),
                mtu: Some(1500),
                ..interface(Role::Incoming)
            }),
            "2/15:00000003,00010000,c0000201,08657468,312f3000,000005dc",
        ),
        (
            "0018 0284 0002 0000 20010db8 00000000 00000000 00000001",
            Object::InterfaceInformation(InterfaceInformation {
                address: Some("2001:db8::1".parse().unwrap()),
                ..interface(Role::Outgoing)
            }),
            "2/132:00020000,20010db8,00000000,00000000,00000001",
        ),
        ("0004 02c0", Object::InterfaceInformation(interface(Role::NextHop)), "2/192:"),
        // RFC 8335 §2.1: interface identification is kept as it is.
        ("0008 0302 00000003", unknown(3, 2, "00000003"), "3/2:00000003"),
        ("000a f7ff 0123456789ab", unknown(0xf7, 0xff, "0123456789ab"), "247/255:01234567,89ab"),
        // Known classes with content that does not fit: empty, odd, cut, too long, of no family.
        ("0004 0101", unknown(1, 1, ""), "1/1:"),
        ("0007 0101 000641", unknown(1, 1, "000641"), "1/1:000641"),
        ("0006 0208 0000", unknown(2, 8, "0000"), "2/8:0000"),
        ("0008 0200 00000000", unknown(2, 0, "00000000"), "2/0:00000000"),
        ("000c 0204 00030000 c0000201", unknown(2, 4, "00030000c0000201"), "2/4:00030000,c0000201"),
        ("0008 0202 00414243", unknown(2, 2, "00414243"), "2/2:00414243"),
        ("0008 0202 03414200", unknown(2, 2, "03414200"), "2/2:03414200"),
        ("0008 0202 08414243", unknown(2, 2, "08414243"), "2/2:08414243"),
    ];
    for (text, object, shown) in cases {
        let bytes = hex(&format!("2000 0000 {text}"));
        let extension = Extension::decode(&bytes, true).unwrap();
        assert_eq!(extension.objects, [object], "{text}");
        assert_eq!(extension.ending, Ending::Whole, "{text}");
        assert_eq!(extension.to_string(), shown);
        assert_eq!(extension.to_bytes(), bytes, "{text}");
    }
}

#[test]
fn interface_names_are_shown_escaped() {
    let mut information = InterfaceInformation {
        role: Role::SubIp,
        ifindex: Some(7),
        address: Some(Ipv4Addr::LOCALHOST.into()),
        name: Some(b"ae0\x1b[2J\xff".to_vec()),
        mtu: Some(9000),
    };
    let shown = information.to_string();
    assert_eq!(shown, "sub-ip ifindex=7 address=127.0.0.1 name=ae0\\u{1b}[2J\u{fffd} mtu=9000");
    information.name = Some(vec![b'x'; 100]);
    let cut = InterfaceInformation::decode(information.c_type(), &information.payload()).unwrap();
    assert_eq!(cut.name.unwrap().len(), 63);
}

#[test]
fn a_list_ends_at_the_object_that_lies() {
    let good = "0008 0101 00064 1 01";
    let broken = |needed, have| {
        Ending::Broken(WireError { layer: Layer::ExtensionObject, offset: 12, needed, have })
    };
    let cases = [
        ("", Ending::Whole),
        ("0000 0101 00000000", broken(4, 0)),
        ("0003 0101 00000000", broken(4, 3)),
        ("0009 0101 00000000", broken(9, 8)),
        ("ffff 0101", broken(0xffff, 4)),
        ("0004 01", broken(4, 3)),
    ];
    for (more, ending) in cases {
        let extension = Extension::decode(&hex(&format!("2000 0000 {good} {more}")), true).unwrap();
        assert_eq!(extension.ending, ending, "{more}");
        assert_eq!(extension.objects.len(), 1, "those before are kept");
    }
    let crowd = hex(&format!("2000 0000 {}", "0004 0900".repeat(65)));
    let extension = Extension::decode(&crowd, true).unwrap();
    assert_eq!((extension.ending, extension.objects.len()), (Ending::TooMany, 64));
}

#[test]
fn structures_of_another_version_are_none() {
    let mut bytes = sample(true, Checksum::Absent).to_bytes();
    for version in (0..16).filter(|version| *version != 2) {
        bytes[0] = version << 4;
        assert_eq!(Extension::decode(&bytes, true), None);
    }
    for len in 0..4 {
        assert_eq!(Extension::decode(&[0x20, 0, 0, 0][..len], true), None);
    }
}

/// RFC 4884 §4 (the length field, in words of the family) and §5.5 (without it, at byte 128).
#[test]
fn the_structure_is_found_where_it_begins() {
    for (family, longer) in [(Family::V4, 132), (Family::V6, 136)] {
        for (len, padded) in [(28, 128), (128, 128), (129, longer), (longer, longer)] {
            let quote = vec![0x45; len];
            let extension = sample(true, Checksum::Right);
            let (payload, words) = extension.append_to(&quote, family);
            assert_eq!(usize::from(words) * family.word_len(), padded);
            let (quoted, found) = quoted_and_extension(&payload, words, family);
            assert_eq!((quoted.len(), found), (padded, Some(extension)));
            assert!(quoted.starts_with(&quote));
        }
        for checksum in [Checksum::Right, Checksum::Absent] {
            let extension = sample(false, checksum);
            let (payload, words) = extension.append_to(&[0x45; 500], family);
            assert_eq!(words, 0);
            let (quoted, found) = quoted_and_extension(&payload, 0, family);
            assert_eq!((quoted, found), (&[0x45; 128][..], Some(extension)));
        }
    }
}

#[test]
fn a_wrong_checksum_is_told_where_the_length_field_leads_and_nothing_elsewhere() {
    let (payload, words) = sample(true, Checksum::Wrong).append_to(&[], Family::V4);
    let (quoted, found) = quoted_and_extension(&payload, words, Family::V4);
    assert_eq!((quoted.len(), found), (128, Some(sample(true, Checksum::Wrong))));
    assert!(!sample(true, Checksum::Wrong).credible());
    assert_eq!(quoted_and_extension(&payload, 0, Family::V4), (&payload[..], None));
}

#[test]
fn a_length_field_that_lies_is_not_believed() {
    let old = sample(false, Checksum::Right);
    let (payload, _) = old.append_to(&[0x45; 128], Family::V4);
    // At the end (counting the structure too), past it (in bytes, say), and where no structure is.
    for words in [36, 128, 255, 1, 5, 31, 33] {
        let (quoted, found) = quoted_and_extension(&payload, words, Family::V4);
        assert_eq!((quoted.len(), found.as_ref()), (128, Some(&old)), "{words}");
    }
    // With no structure anywhere it ends the quote, unless it is too short to be believed.
    let long = [0x45; 200];
    for (words, len) in [(0, 200), (7, 200), (32, 128), (33, 132), (50, 200), (51, 200)] {
        assert_eq!(quoted_and_extension(&long, words, Family::V4), (&long[..len], None), "{words}");
    }
    // A quote that was not padded to 128 bytes, against the RFC.
    let unpadded = [&[0x45; 28][..], &sample(true, Checksum::Right).to_bytes()].concat();
    let (quoted, found) = quoted_and_extension(&unpadded, 7, Family::V4);
    assert_eq!((quoted.len(), found), (28, Some(sample(true, Checksum::Right))));
}

#[test]
fn a_long_quote_is_not_taken_for_an_extension() {
    let look_alikes = [
        "",
        "2000 0000",
        "2000 dfff",
        "2000 0000 0000 0101",
        "2000 0000 0009 0101 00064101",
        "2001 0000 0008 0101 00064101",
        "2000 1234 0008 0101 00064101",
        "4500 0000 0008 0101 00064101",
    ];
    for text in look_alikes {
        let payload = [vec![0; 128], hex(text)].concat();
        assert_eq!(quoted_and_extension(&payload, 0, Family::V4), (&payload[..], None), "{text}");
    }
}

fn any_object() -> impl Strategy<Value = Object> {
    let entries = (0_u32..1 << 20, 0_u8..8, any::<bool>(), any::<u8>())
        .prop_map(|(label, tc, bottom, ttl)| entry(label, tc, bottom, ttl));
    let name = vec(1_u8.., 0..=63);
    let interface = (
        prop::sample::select(vec![Role::Incoming, Role::SubIp, Role::Outgoing, Role::NextHop]),
        any::<(Option<u32>, Option<std::net::IpAddr>, Option<u32>)>(),
        prop::option::of(name),
    )
        .prop_map(|(role, (ifindex, address, mtu), name)| InterfaceInformation {
            role,
            ifindex,
            address,
            name,
            mtu,
        });
    prop_oneof![
        vec(entries, 1..9).prop_map(Object::MplsLabelStack),
        interface.prop_map(Object::InterfaceInformation),
        (3_u8.., any::<u8>(), vec(any::<u8>(), 0..50))
            .prop_map(|(class, c_type, payload)| Object::Unknown { class, c_type, payload }),
    ]
}

proptest! {
    #[test]
    fn what_is_emitted_is_what_is_decoded(
        objects in vec(any_object(), 1..6),
        quote in vec(any::<u8>(), 0..1100),
        v6: bool,
        compliant: bool,
        sum: bool,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let checksum = if sum { Checksum::Right } else { Checksum::Absent };
        let extension = Extension { compliant, checksum, objects, ending: Ending::Whole };
        let (payload, words) = extension.append_to(&quote, family);
        let (quoted, found) = quoted_and_extension(&payload, words, family);
        prop_assert_eq!(found, Some(extension));
        prop_assert!(quoted.starts_with(&quote) || quote.starts_with(quoted));
    }

    #[test]
    fn any_bytes_decode(
        quote in prop_oneof![vec(any::<u8>(), 128), vec(any::<u8>(), 0..160)],
        objects in vec(prop_oneof![0_u8..9, any::<u8>()], 0..200),
        words: u8,
        v6: bool,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let right = u8::try_from(quote.len() / family.word_len()).unwrap();
        let payload = [quote, hex("2000 0000"), objects].concat();
        for words in [0, words, right] {
            let (quoted, extension) = quoted_and_extension(&payload, words, family);
            prop_assert!(payload.starts_with(quoted));
            prop_assert!(extension.is_none_or(|extension| extension.objects.len() <= 64));
        }
    }

    /// Nothing is lost: objects that end where the structure ends are emitted as they came, but for
    /// bits that are reserved and padding.
    #[test]
    fn an_object_decodes_to_itself_again(class in 0_u8..4, c_type: u8, payload in vec(any::<u8>(), 0..40)) {
        let object = Object::decode(class, c_type, &payload);
        prop_assert_eq!(&Object::decode(object.class(), object.c_type(), &object.payload()), &object);
        prop_assert_eq!(object.payload().len(), payload.len());
    }
}
