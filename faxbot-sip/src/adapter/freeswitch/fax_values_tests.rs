//! Faxes of a real server, and what is made of them.

use faxbot_core::fax::OutcomeStatus;

use super::*;

fn values(kind: Kind, answered: bool, variables: &[(&str, &str)]) -> FaxValues {
    let mut values = FaxValues::default();
    for (name, value) in variables {
        assert!(values.set(name, value), "{name}");
    }
    values.of_kind(kind, answered)
}

fn context(pages: u32) -> FaxContext {
    FaxContext {
        pages_total: Some(pages),
        ..FaxContext::default()
    }
}

/// The variables of `05_fax_we_cancel_mid_page`.
const MID_PAGE: &[(&str, &str)] = &[
    ("variable_fax_success", "0"),
    ("variable_fax_result_code", "49"),
    ("variable_fax_ecm_used", "on"),
    ("variable_fax_t38_status", "off"),
    ("variable_fax_remote_station_id", "+15550000703"),
    ("variable_fax_document_transferred_pages", "0"),
    ("variable_fax_document_total_pages", "3"),
    ("variable_fax_image_resolution", "8040x7700"),
    ("variable_fax_bad_rows", "0"),
    ("variable_fax_transfer_rate", "14400"),
    ("variable_sip_hangup_disposition", "send_bye"),
    ("variable_last_app", "txfax"),
];

/// Those of `05_fax_answer_but_no_fax`, and of a hang-up after three seconds but for the code.
fn nobody(code: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("fax_success", "0"),
        ("fax_result_code", code),
        ("fax_ecm_used", "off"),
        ("fax_t38_status", "off"),
        ("fax_document_transferred_pages", "0"),
        ("fax_document_total_pages", "0"),
        ("fax_image_resolution", "0x0"),
        ("fax_transfer_rate", "14400"),
        ("last_app", "txfax"),
    ]
}

#[test]
fn three_pages_over_t38_and_over_audio_are_success() {
    for (t38, transport) in [
        ("negotiated", FaxTransport::T38),
        ("off", FaxTransport::Audio),
        ("refused", FaxTransport::Audio),
    ] {
        // `05_fax_t38_ok_3pages`, `05_fax_sip_audio_ok_3pages`,
        // `05_fax_t38_refused_488_audio_fallback`; the spelling of the fax's own event.
        let fax = values(
            Kind::Fax,
            true,
            &[
                ("fax-success", "1"),
                ("fax-result-code", "0"),
                ("fax-ecm-used", "on"),
                ("fax-t38-status", t38),
                ("fax-remote-station-id", "+15550000703"),
                ("fax-document-transferred-pages", "3"),
                ("fax-document-total-pages", "3"),
                ("fax-image-resolution", "8040x7700"),
                ("fax-transfer-rate", "14400"),
            ],
        );
        for context in [context(3), FaxContext::default()] {
            let outcome = fax.outcome(&Causes::new(), context);
            assert!(outcome.is_success());
            assert_eq!(outcome.pages_confirmed, Some(3));
            assert_eq!(outcome.pages_total, Some(3));
            assert_eq!(outcome.transport, Some(transport));
            assert_eq!(outcome.bit_rate, Some(14_400));
            assert_eq!(outcome.ecm, Some(true));
            assert_eq!(outcome.resolution, Some(Resolution::Fine));
        }
    }
}

#[test]
fn failures_of_real_faxes_have_their_classes() {
    let busy = causes::causes("USER_BUSY", Some(486));
    let clear = causes::causes("NORMAL_CLEARING", None);
    let gateway = causes::causes("INVALID_GATEWAY", None);
    let missing = vec![
        ("sip_hangup_disposition", "send_bye"),
        ("last_app", "txfax"),
    ];
    let gone = vec![
        ("sip_hangup_disposition", "recv_bye"),
        ("last_app", "txfax"),
    ];
    let not_a_page = vec![
        ("fax_success", "0"),
        ("fax_result_code", "41"),
        ("fax_remote_station_id", "RECEIVER 1"),
        ("fax_document_transferred_pages", "0"),
    ];
    let before = FailurePhase::BeforeAnswer;
    for (variables, answered, causes, class, phase) in [
        (vec![], false, &busy, FailureClass::Busy, before),
        (vec![], false, &gateway, FailureClass::LocalConfig, before),
        (
            MID_PAGE.to_vec(),
            true,
            &clear,
            FailureClass::CommError,
            FailurePhase::Transmission,
        ),
        (
            nobody("2"),
            true,
            &clear,
            FailureClass::NoAnswer,
            FailurePhase::Negotiation,
        ),
        (
            nobody("49"),
            true,
            &clear,
            FailureClass::NotAFax,
            FailurePhase::Negotiation,
        ),
        (
            not_a_page,
            true,
            &clear,
            FailureClass::Document,
            FailurePhase::Transmission,
        ),
        (
            missing,
            true,
            &clear,
            FailureClass::LocalConfig,
            FailurePhase::Negotiation,
        ),
        (
            gone,
            true,
            &clear,
            FailureClass::NotAFax,
            FailurePhase::Negotiation,
        ),
        // A later version's code.
        (
            nobody("99"),
            true,
            &clear,
            FailureClass::Unknown,
            FailurePhase::Negotiation,
        ),
    ] {
        let fax = values(Kind::Fax, answered, &variables);
        let outcome = fax.outcome(causes, context(3));
        assert_eq!(outcome.status, OutcomeStatus::Failed, "{variables:?}");
        let failure = outcome.failure.unwrap();
        assert_eq!(
            (failure.class, failure.phase),
            (class, phase),
            "{variables:?}"
        );
        assert_eq!(failure.q850, causes.q850);
        assert_eq!(outcome.pages_confirmed, Some(0));
        if !fax.fax_seen() {
            assert_eq!(outcome.bit_rate, None, "the preset rate is no agreement");
        }
    }
}

#[test]
fn our_own_hang_up_is_cancelled() {
    let fax = values(Kind::Fax, true, MID_PAGE);
    let context = FaxContext {
        hung_up_by_us: true,
        ..context(3)
    };
    let outcome = fax.outcome(&Causes::new(), context);
    assert_eq!(outcome.class(), Some(FailureClass::Cancelled));
}

#[test]
fn a_line_that_dropped_behind_the_last_page_is_success() {
    let mut variables = MID_PAGE.to_vec();
    variables.push(("fax_document_transferred_pages", "3"));
    let fax = values(Kind::Fax, true, &variables);
    assert!(fax.outcome(&Causes::new(), context(3)).is_success());
    assert!(!fax.outcome(&Causes::new(), context(4)).is_success());
}

#[test]
fn a_fax_that_began_later_has_the_pages_that_were_left() {
    // `09_fax_start_end_page`: five pages, from the third on.
    let fax = values(
        Kind::Fax,
        true,
        &[
            ("fax_success", "1"),
            ("fax_start_page", "2"),
            ("fax_document_transferred_pages", "3"),
            ("fax_document_total_pages", "5"),
        ],
    );
    let outcome = fax.outcome(&Causes::new(), FaxContext::default());
    assert!(outcome.is_success());
    assert_eq!(outcome.pages_total, Some(3));
}

#[test]
fn a_fax_that_had_to_go_over_t38_fails_as_such() {
    let mut variables = nobody("49");
    variables.push(("fax_t38_status", "refused"));
    for (kind, class) in [
        (Kind::FaxByT38, FailureClass::T38),
        (Kind::Fax, FailureClass::NotAFax),
    ] {
        let outcome = values(kind, true, &variables).outcome(&Causes::new(), context(1));
        assert_eq!(outcome.class(), Some(class));
    }
}

#[test]
fn nobody_tells_how_many_pages_a_broken_received_fax_had() {
    // `09_inbound_park_receive_fax`, and one that broke off.
    for (success, total) in [("1", Some(3)), ("0", None)] {
        let fax = values(
            Kind::Receive,
            true,
            &[
                ("fax_success", success),
                ("fax_result_code", "26"),
                ("fax_document_transferred_pages", "3"),
                ("fax_document_total_pages", "3"),
                ("fax_bad_rows", "7"),
            ],
        );
        let outcome = fax.outcome(&Causes::new(), FaxContext::default());
        assert_eq!(outcome.is_success(), success == "1");
        assert_eq!(outcome.pages_total, total);
        assert_eq!(outcome.bad_lines, Some(7));
    }
}

#[test]
fn the_far_ends_name_is_not_shown() {
    let fax = values(Kind::Fax, true, MID_PAGE);
    assert!(!format!("{fax:?}").contains("0703"));
    let mut other = FaxValues::default();
    assert!(!other.set("hangup_cause", "NORMAL_CLEARING"));
}

#[test]
fn a_fax_that_was_taken_away_keeps_the_pages_that_were_told_before() {
    let told = FaxContext {
        pages_confirmed: Some(2),
        ..context(3)
    };
    let clear = Causes::new();
    // The server was shut down: no values of the fax are left.
    let nothing = values(Kind::Fax, true, &[]);
    assert_eq!(nothing.outcome(&clear, told).pages_confirmed, Some(2));
    assert_eq!(nothing.outcome(&clear, context(3)).pages_confirmed, Some(0));
    let mid_page = values(Kind::Fax, true, MID_PAGE);
    assert_eq!(mid_page.outcome(&clear, told).pages_confirmed, Some(2));
}
