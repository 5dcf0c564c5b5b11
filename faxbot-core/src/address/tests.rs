//! The rules of the module as tables and properties.

use proptest::prelude::*;

use super::*;

fn kind(text: &str) -> &'static str {
    match text.parse::<Address>() {
        Ok(Address::PhoneNumber(_)) => "number",
        Ok(Address::Extension(_)) => "extension",
        Ok(Address::SipUri(_)) => "uri",
        Ok(Address::Native(_)) => "native",
        Err(_) => "refused",
    }
}

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

#[test]
fn text_becomes_an_address_by_one_rule() {
    for (text, expected) in [
        ("+4930123", "number"),
        ("+493012345678901", "number"),
        ("+493012", "refused"),
        ("+4930123456789012", "refused"),
        ("+0301234567", "refused"),
        ("+49 30 1234567", "refused"),
        ("+4930123456\n", "refused"),
        ("+4930123456\r\nAction: Logoff", "refused"),
        ("+\u{0664}\u{0669}30123456", "refused"),
        ("700", "extension"),
        ("fax-desk_1.a*#", "extension"),
        ("sip", "extension"),
        ("a2345678901234567890123456789012", "extension"),
        ("a23456789012345678901234567890123", "refused"),
        ("", "refused"),
        ("70 0", "refused"),
        ("700\n", "refused"),
        ("700,1", "refused"),
        ("PJSIP/1001", "refused"),
        ("1001@trunk", "refused"),
        ("native:PJSIP/1001", "native"),
        ("native:", "refused"),
        ("native:a\nb", "refused"),
        ("sip:700@pbx.example.org", "uri"),
        (
            "SIPS:+493012345678@[2001:db8::1]:5061;transport=tcp;lr",
            "uri",
        ),
        ("sip:pbx", "uri"),
        ("sip:a%20b@pbx", "uri"),
        ("sip:", "refused"),
        ("sip:@pbx", "refused"),
        ("sip:a b@pbx", "refused"),
        ("sip:\"a\"@pbx", "refused"),
        ("sip:<a>@pbx", "refused"),
        ("sip:a@b@pbx", "refused"),
        ("sip:user:secret@pbx", "refused"),
        ("sip:a@pbx?Subject=x", "refused"),
        ("sip:a@pbx:0", "refused"),
        ("sip:a@pbx:65536", "refused"),
        ("sip:a@pbx:+5060", "refused"),
        ("sip:a@pbx;", "refused"),
        ("sip:a@-pbx", "refused"),
        ("sip:a@pbx\r\n", "refused"),
        ("sip:a%2@pbx", "refused"),
        ("sip:a@[::1", "refused"),
        ("tel:+493012345678", "refused"),
    ] {
        assert_eq!(kind(text), expected, "{text:?}");
    }
}

#[test]
fn a_uri_gives_its_parts() {
    let uri: SipUri = "SIPS:a;b@[2001:db8::1]:5061;transport=tcp".parse().unwrap();
    assert!(uri.is_secure());
    assert_eq!(uri.user(), Some("a;b"));
    assert_eq!(uri.host(), "[2001:db8::1]");
    assert_eq!(uri.port(), Some(5061));
    assert_eq!(uri.expose(), "sips:a;b@[2001:db8::1]:5061;transport=tcp");
    let uri: SipUri = "sip:pbx.example.org.".parse().unwrap();
    assert_eq!(
        (uri.user(), uri.host(), uri.port()),
        (None, "pbx.example.org.", None)
    );
}

#[test]
fn a_number_has_each_format() {
    let fax = number("+493012345678");
    assert_eq!(fax.e164(), "+493012345678");
    assert_eq!(fax.digits(), "493012345678");
    assert_eq!(fax.country_code(), "49");
    assert_eq!(fax.national("49", "0").unwrap(), "03012345678");
    assert_eq!(fax.national("4", "0"), None);
    assert_eq!(fax.national("1", ""), None);
    assert_eq!(fax.with_prefix("00"), "00493012345678");
    assert_eq!(
        fax.sip_uri("pbx:5060").unwrap().expose(),
        "sip:+493012345678@pbx:5060"
    );
    assert!(fax.sip_uri("pbx\r\nX: y").is_err());
    assert_eq!(number("+14155550100").country_code(), "1");
    assert_eq!(number("+35312345678").country_code(), "353");
}

#[test]
fn the_lenient_reader_takes_what_people_write_and_no_more() {
    for text in ["+49 (30) 1234-5678", "+49.30.12345678"] {
        assert_eq!(
            PhoneNumber::parse_lenient(text).unwrap(),
            number("+493012345678")
        );
    }
    for text in [
        "030 12345678",
        "0049 30 12345678",
        "+49/30/12345678",
        "+49 30 12345678\n",
    ] {
        assert!(PhoneNumber::parse_lenient(text).is_err(), "{text:?}");
    }
}

#[test]
fn personal_data_does_not_show() {
    assert_eq!(number("+49301234567").to_string(), "+49*******67");
    assert_eq!(format!("{:?}", number("+49301234567")), "+49*******67");
    assert_eq!(number("+3531234").to_string(), "+353**34");
    for text in ["4711", "sip:4711@pbx.example.org", "native:PJSIP/4711"] {
        let address: Address = text.parse().unwrap();
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("4711") && !shown.contains("pbx"), "{shown}");
    }
    let error = "+49301234567x".parse::<Address>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("4930"));
}

#[test]
fn a_fax_does_not_go_to_a_native_address() {
    for text in ["+493012345678", "700", "sip:700@pbx"] {
        assert_eq!(text.parse::<FaxTarget>().unwrap().expose(), text);
    }
    assert!("native:PJSIP/700".parse::<FaxTarget>().is_err());
    assert!(FaxTarget::try_from(Address::native("PJSIP/700")).is_err());
}

#[test]
fn a_template_has_exactly_one_number() {
    let fax = Address::from(number("+493012345678"));
    let template: DialTemplate = "PJSIP/{number}@trunk".parse().unwrap();
    let national: NumberFormat = "national:49:0".parse().unwrap();
    for (format, expected) in [
        (NumberFormat::E164, "PJSIP/+493012345678@trunk"),
        (NumberFormat::Digits, "PJSIP/493012345678@trunk"),
        (national.clone(), "PJSIP/03012345678@trunk"),
        (
            NumberFormat::Prefix("00".into()),
            "PJSIP/00493012345678@trunk",
        ),
    ] {
        assert_eq!(template.fill(&fax, &format).unwrap(), expected);
    }
    let abroad = Address::from(number("+33123456789"));
    assert_eq!(
        template.fill(&abroad, &national).unwrap(),
        "PJSIP/+33123456789@trunk"
    );
    let bad = NumberFormat::Prefix("0@elsewhere/".into());
    assert!(template.fill(&fax, &bad).is_err());
    for text in ["sip:700@pbx", "native:PJSIP/700"] {
        assert!(
            template
                .fill(&text.parse().unwrap(), &NumberFormat::E164)
                .is_err()
        );
    }
    for text in [
        "",
        "PJSIP/trunk",
        "PJSIP/{number}{number}",
        "PJSIP/{Number}@trunk",
        "PJSIP/{number}@a&PJSIP/b",
        "PJSIP/{number}@a,30",
        "PJSIP/{number}@a\r\nX: y",
        "PJSIP/{number} @a",
        "{x=1}sofia/gateway/a/{number}",
    ] {
        assert!(text.parse::<DialTemplate>().is_err(), "{text:?}");
    }
}

#[test]
fn a_number_format_is_text_or_an_object() {
    for (json, text) in [
        (r#""e164""#, "e164"),
        (r#""digits""#, "digits"),
        (r#""national:49:0""#, "national:49:0"),
        (
            r#"{"national":{"cc":"49","trunk_prefix":"0"}}"#,
            "national:49:0",
        ),
        (r#"{"prefix":"00"}"#, "prefix:00"),
    ] {
        let format: NumberFormat = serde_json::from_str(json).unwrap();
        assert_eq!(format.to_string(), text);
        let again = serde_json::to_string(&format).unwrap();
        assert_eq!(
            serde_json::from_str::<NumberFormat>(&again).unwrap(),
            format
        );
    }
    for json in [
        r#""E.164""#,
        r#""prefix:0@x""#,
        r#"{"national":{"cc":"0"}}"#,
        r#""""#,
    ] {
        assert!(
            serde_json::from_str::<NumberFormat>(json).is_err(),
            "{json}"
        );
    }
}

#[cfg(feature = "phone-metadata")]
#[test]
fn metadata_knows_which_numbers_exist() {
    let fax = PhoneNumber::from_national("030 901820", "de").unwrap();
    assert_eq!(fax.e164(), "+4930901820");
    assert!(fax.validate().is_ok());
    assert!(number("+11111111111").validate().is_err());
    assert!(PhoneNumber::from_national("030 901820", "zz").is_err());
}

proptest! {
    #[test]
    fn every_accepted_address_survives_text_and_json(text in ".{0,40}|(native:|sips?:|\\+)[ -~]{0,24}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert!(!address.expose().contains(['\r', '\n', '\0']));
            prop_assert_eq!(&address.expose().parse::<Address>().unwrap(), &address);
            let json = serde_json::to_string(&address).unwrap();
            prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }
    }

    #[test]
    fn nothing_of_an_address_leaves_its_place_in_a_template(
        text in "(?s).{0,40}|\\+?[0-9]{0,16}[,&@/\r\n 0-9]{0,3}|[0-9A-Za-z*#_.,&@/-]{1,34}",
        prefix in "(?s).{0,4}|[0-9]{0,3}",
        which in 0..4u8,
    ) {
        let template: DialTemplate = "PJSIP/{number}@trunk".parse().unwrap();
        let format = match which {
            0 => NumberFormat::E164,
            1 => NumberFormat::Digits,
            2 => NumberFormat::National { cc: "49".into(), trunk_prefix: prefix },
            _ => NumberFormat::Prefix(prefix),
        };
        if let Ok(address) = text.parse::<Address>()
            && let Ok(dialled) = template.fill(&address, &format)
        {
            let inner = dialled.strip_prefix("PJSIP/").and_then(|rest| rest.strip_suffix("@trunk"));
            let inner = inner.unwrap();
            prop_assert!(!inner.is_empty());
            prop_assert!(inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"+*#_.-".contains(&b)));
        }
    }

    #[test]
    fn a_number_shows_its_last_two_digits_at_most(digits in "[1-9][0-9]{6,14}") {
        let fax = number(&format!("+{digits}"));
        let shown = fax.to_string();
        prop_assert_eq!(shown.len(), fax.e164().len());
        let hidden = shown.matches('*').count();
        prop_assert_eq!(hidden, digits.len() - fax.country_code().len() - 2);
    }
}
