//! What hooks left at a real server, and what is made of it.

use super::*;
use crate::adapter::fax_run::FaxContext;

const ID: &str = "09000012-0000-4000-8000-000000001201";

/// A kept value, with the fields that a case is about.
fn value(kind: &str, fields: &[(&str, &str)]) -> String {
    let mut out = format!("{VERSION}{BETWEEN}{kind}");
    for name in FIELDS {
        let given = fields.iter().find(|(field, _)| *field == name);
        out.push(BETWEEN);
        out.push_str(given.map_or("", |(_, value)| value));
    }
    out
}

fn read(kind: &str, fields: &[(&str, &str)]) -> Ended {
    Ended::parse(&value(kind, fields)).unwrap()
}

/// `09_hook_more_variables`: cause, status, who ended it, answer and end.
const RECORDED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "NORMAL_CLEARING",
        "200",
        "recv_bye",
        "1795248816",
        "1795248836",
    ),
    (
        "NORMAL_CLEARING",
        "",
        "send_bye",
        "1795248816",
        "1795248816",
    ),
    ("USER_BUSY", "486", "recv_refuse", "0", "1795248816"),
    ("NORMAL_CLEARING", "", "send_cancel", "0", "1795248821"),
    ("NO_ANSWER", "", "send_cancel", "0", "1795248819"),
    (
        "NORMAL_TEMPORARY_FAILURE",
        "503",
        "recv_refuse",
        "0",
        "1795248816",
    ),
];

#[test]
fn what_a_real_hook_left_is_read_back() {
    for &(cause, status, who, answer, end) in RECORDED {
        let ended = read(
            "call",
            &[
                ("hangup_cause", cause),
                ("sip_term_status", status),
                ("sip_hangup_disposition", who),
                ("answer_epoch", answer),
                ("end_epoch", end),
            ],
        );
        let report = ended.report();
        assert_eq!(report.answered, answer != "0", "{cause}");
        assert_eq!(report.causes.native.as_deref(), Some(cause));
        assert_eq!(report.causes, causes::causes(cause, status.parse().ok()));
        assert_eq!(report.causes.sip_status, status.parse().ok());
        let end = end.parse().unwrap();
        assert_eq!(report.ended, Timestamp::from_unix_seconds(end).ok());
        assert!(report.fax.is_none());
    }
}

#[test]
fn an_event_tells_the_same_as_the_hook() {
    let fields = [
        ("hangup_cause", "USER_BUSY"),
        ("sip_term_status", "486"),
        ("answer_epoch", "0"),
        ("end_epoch", "1795248816"),
        ("fax_success", "0"),
    ];
    let event = Ended::read(Kind::Fax, |name| {
        let field = fields.iter().find(|(field, _)| *field == name);
        field.map(|(_, value)| Cow::Borrowed(*value))
    });
    assert_eq!(event, read("fax", &fields));
}

#[test]
fn nothing_that_a_far_end_chose_moves_a_field() {
    for station in ["+49 30 | 1", "||||||||", "1|call|", "Ann 'A' B'C/x|y", ""] {
        let ended = read(
            "fax",
            &[
                ("hangup_cause", "NORMAL_CLEARING"),
                ("answer_epoch", "1795248816"),
                ("fax_success", "1"),
                ("fax_document_transferred_pages", "3"),
                ("fax_remote_station_id", station),
            ],
        );
        assert!(ended.answered_at().is_some());
        let report = ended.report();
        let context = FaxContext::default();
        let outcome = report.fax.unwrap().outcome(&report.causes, context);
        assert_eq!(outcome.pages_confirmed, Some(3), "{station:?}");
        let told = outcome.remote_station_id.map(|told| told.expose().clone());
        assert_eq!(told.unwrap_or_default(), station);
    }
}

#[test]
fn values_of_another_layout_are_left_alone_and_none_panics() {
    let full = value("call", &[("hangup_cause", "USER_BUSY")]);
    for end in 0..full.len() {
        // A cut value is read only if nothing but the far end's words is missing.
        let cut = Ended::parse(&full[..end]);
        let fields = full[..end].matches(BETWEEN).count();
        assert_eq!(cut.is_some(), fields > FIELDS.len() - 1, "{end}");
    }
    let other = full.replacen('1', "2", 1);
    let kind = full.replacen("call", "cell", 1);
    for text in [
        "",
        "1",
        "|",
        "1|call",
        "1|0|3|NORMAL_CLEARING|200|1795249125|OK|R",
        &other,
        &kind,
    ] {
        assert_eq!(Ended::parse(text), None, "{text:?}");
    }
    let noise = "9".repeat(400);
    let ended = read("connect", &FIELDS.map(|name| (name, noise.as_str())));
    assert_eq!(ended.answered_at(), None);
}

#[test]
fn the_longest_value_is_not_cut() {
    let longest: Vec<(&str, &str)> = FIELDS
        .iter()
        .map(|&name| {
            let value = match name {
                "start_epoch" | "answer_epoch" | "bridge_epoch" | "end_epoch" => "1795248816",
                "hangup_cause" => "REDIRECTION_TO_NEW_DESTINATION",
                "originate_disposition" => "RESPONSE_TO_STATUS_ENQUIRY",
                "sip_term_status" => "486",
                "sip_hangup_disposition" => "recv_refuse",
                "last_bridge_proto_specific_hangup_cause" => "sip:486",
                "last_app" => "bridge",
                "fax_success" => "1",
                "fax_result_code" => "61",
                "fax_document_transferred_pages" | "fax_document_total_pages" => "9999",
                "fax_start_page" => "9999",
                "fax_transfer_rate" => "14400",
                "fax_ecm_used" => "off",
                "fax_t38_status" => "negotiated",
                "fax_image_resolution" => "16080x15400",
                "fax_bad_rows" => "99999",
                _ => "12345678901234567890",
            };
            (name, value)
        })
        .collect();
    let longest = value("connect", &longest);
    assert!(longest.len() <= MAX_SELECTED, "{} bytes", longest.len());
}

#[test]
fn two_parties_are_answered_by_the_second_one() {
    let up = ("answer_epoch", "1795231332");
    let clear = ("hangup_cause", "NORMAL_CLEARING");
    // `03_bridge_two_loopback_legs`.
    let talked = [
        up,
        clear,
        ("bridge_epoch", "1795231334"),
        ("originate_disposition", "SUCCESS"),
    ];
    let at = |seconds| Timestamp::from_unix_seconds(seconds).ok();
    assert_eq!(read("connect", &talked).answered_at(), at(1_795_231_334));
    assert_eq!(read("bridge", &talked).answered_at(), at(1_795_231_332));

    // `09_hook_other_ways`, call 413: the second party's number does not exist.
    let missed = [
        up,
        ("hangup_cause", "UNALLOCATED_NUMBER"),
        ("originate_disposition", "UNALLOCATED_NUMBER"),
        ("last_bridge_proto_specific_hangup_cause", "sip:404"),
    ];
    for (kind, answered) in [("connect", false), ("bridge", true)] {
        let report = read(kind, &missed).report();
        assert_eq!(report.answered, answered, "{kind}");
        assert_eq!(report.causes.q850, Some(1));
        assert_eq!(report.causes.sip_status, Some(404));
        assert_eq!(report.disposition, None);
    }

    // The first one hung up while the second rang.
    let left = [up, clear, ("originate_disposition", "ORIGINATOR_CANCEL")];
    let report = read("connect", &left).report();
    assert!(!report.answered);
    assert_eq!(report.disposition, Some(Disposition::NoAnswer));
}

#[test]
fn only_what_was_a_fax_has_an_outcome_of_one() {
    let up = ("answer_epoch", "1795231332");
    for (kind, fields, is_fax) in [
        ("fax", &[][..], true),
        ("t38", &[], true),
        ("rx", &[up], true),
        ("rx", &[], false),
        ("in", &[up], false),
        ("call", &[up], false),
    ] {
        assert_eq!(read(kind, fields).report().fax.is_some(), is_fax, "{kind}");
    }
}

#[test]
fn each_keeper_has_its_words() {
    let db = OutcomeStore::new("a", Some(Keeper::Db));
    let hash = OutcomeStore::new("a", Some(Keeper::Hash));
    for (words, command, arguments) in [
        (db.select(ID), "db", format!("select/faxbot-a/{ID}")),
        (db.delete(ID), "db", format!("delete/faxbot-a/{ID}")),
        (db.select_pages(ID), "db", format!("select/faxpages-a/{ID}")),
        (db.lists().pop(), "db", "list/faxpages-a".to_owned()),
        (
            hash.delete_pages(ID),
            "hash",
            format!("delete/faxpages-a/{ID}"),
        ),
        (hash.lists().pop(), "hash_dump", "db".to_owned()),
    ] {
        assert_eq!(words, Some((command, arguments)));
    }
    assert_eq!(OutcomeStore::new("a", None).select(ID), None);
    let hook = db.hook(Kind::Fax, ID).unwrap();
    assert!(hook.starts_with(&format!("db insert/faxbot-a/{ID}/1|fax|${{start_epoch}}|")));
    assert!(hook.ends_with("|${fax_remote_station_id}"));
    assert_eq!(Kind::of_hook(&hook), Some(Kind::Fax));
    assert_eq!(
        hash.pages_hook(ID).unwrap(),
        format!("hash insert/faxpages-a/{ID}/${{fax_document_transferred_pages}}")
    );
    assert_eq!(parse_pages("2"), Some(2));
    assert_eq!(parse_pages("-ERR no reply"), None);
}

#[test]
fn only_keys_of_ours_are_listed() {
    let db = OutcomeStore::new("a", Some(Keeper::Db));
    let uuid = Uuid::try_parse(ID).unwrap();
    let cut = &ID[..20];
    assert_eq!(db.listed(&format!("{ID},v,{ID},{cut}")), [uuid, uuid]);
    assert!(db.listed("!err!").is_empty());
    // `09_hook_other_ways`.
    let hash = OutcomeStore::new("a", Some(Keeper::Hash));
    let dump = format!(
        "D/faxbot_q8/${{hangup_cause}}\nD/faxbot-a_{ID}/1|call|x/y\nD/faxpages-a_{ID}/2\nD/faxbot-b_{ID}/1\n"
    );
    // Its outcome and its pages.
    assert_eq!(hash.listed(&dump), [uuid, uuid]);
}

#[test]
fn the_second_partys_channel_is_found_by_the_call() {
    let id = CallId::from_uuid(Uuid::try_parse(ID).unwrap());
    assert_eq!(channel_uuid(id), ID);
    assert_eq!(peer_uuid(id), "b146f2c0-25a6-564e-b3c5-521062299853");
    assert_ne!(peer_uuid(id), peer_uuid(CallId::new()));
}

#[test]
fn every_kind_is_read_back() {
    for (kind, word) in Kind::ALL {
        assert_eq!(Kind::parse(word), Some(kind));
        assert_eq!(kind.word(), word);
    }
}
