//! Requests as the lines that a server gets.

use faxbot_core::{document::FaxImage, sip::CallRequest};

use super::{super::outcome::Keeper, *};

const ID: u128 = 0x0900_0012_0000_4000_8000_0000_0000_1201;

fn id() -> CallId {
    CallId::from_uuid(uuid::Uuid::from_u128(ID))
}

fn config(more: &str) -> FreeswitchConfig {
    let url = format!("esl://:x@h?dial=sofia/gateway/trunk/{{number}}{more}");
    FreeswitchConfig::from_url(&url).unwrap()
}

fn text(command: Result<Command>) -> String {
    let bytes = command.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn call(request: CallRequest, keeper: Option<Keeper>, recording: Option<&str>) -> Result<Command> {
    let (config, store) = (config(""), OutcomeStore::new("faxbot", keeper));
    let originator = Originator {
        config: &config,
        store: &store,
    };
    originator.make_call(&request.with_id(id()), recording)
}

fn dial() -> CallRequest {
    CallRequest::dial("+493012345678".parse().unwrap())
}

#[test]
fn a_call_is_one_line() {
    assert_eq!(
        text(call(dial(), None, None)),
        "bgapi originate {origination_uuid=09000012-0000-4000-8000-000000001201,originate_timeout=60,\
         ignore_early_media=true,faxbot_instance=faxbot,export_vars=faxbot_instance,\
         origination_caller_id_name=freeswitch,\
         effective_caller_id_name=freeswitch}sofia/gateway/trunk/+493012345678 &park()\n\n"
    );
}

#[test]
fn everything_that_can_be_asked_is_in_the_line() {
    let request = dial()
        .with_timeout(Duration::from_millis(20_100))
        .with_caller_id("+15550100".parse().unwrap())
        .with_caller_id_name("Smith, Jo")
        .with_max_duration(Duration::from_secs(90))
        .with_record(true)
        .with_header("X-Account", "4 2")
        .with_variable("my_var", "it's {so}");
    let line = text(call(request, Some(Keeper::Db), Some("/rec/a.wav")));
    for part in [
        "{origination_nested_vars=true,origination_uuid=",
        "originate_timeout=21,",
        r"api_hangup_hook=db\sinsert/faxbot-faxbot/09000012-0000-4000-8000-000000001201/1|call|${start_epoch}|",
        r"origination_caller_id_name=Smith\,\sJo,",
        "origination_caller_id_number=+15550100,",
        r"execute_on_answer_limit=sched_hangup\s+90\sALLOTTED_TIMEOUT,",
        r"execute_on_answer_record=record_session\s/rec/a.wav,",
        r"sip_h_X-Account=4\s2,",
        "my_var=it",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn the_music_of_a_hold_is_a_variable_of_the_channel() {
    let (config, store) = (
        config("&music=local_stream://moh"),
        OutcomeStore::new("faxbot", None),
    );
    let originator = Originator {
        config: &config,
        store: &store,
    };
    let line = text(originator.make_call(&dial().with_id(id()), None));
    assert!(line.contains("hold_music=local_stream://moh"), "{line}");
}

#[test]
fn what_follows_the_answer_is_in_the_line() {
    let peer = peer_uuid(id());
    let to = || "1001".parse::<Address>().unwrap();
    let extension = |extension: &str, context: Option<&str>| OnAnswer::Extension {
        extension: extension.to_owned(),
        context: context.map(str::to_owned),
    };
    let application = |name: &str, data: &str| OnAnswer::Application {
        name: name.to_owned(),
        data: data.to_owned(),
    };
    for (then, expected) in [
        (OnAnswer::Park, "&park()".to_owned()),
        (extension("700", None), "700 XML default".to_owned()),
        (
            extension("*97", Some("public")),
            "*97 XML public".to_owned(),
        ),
        (
            application("playback", "a b.wav"),
            r"&playback(a\sb.wav)".to_owned(),
        ),
        (
            OnAnswer::Bridge(to()),
            format!(
                "&bridge({{origination_uuid={peer},faxbot_instance=faxbot}}sofia/gateway/trunk/1001)"
            ),
        ),
    ] {
        let line = text(call(dial().on_answer(then), None, None));
        assert!(line.ends_with(&format!(" {expected}\n\n")), "{line}");
    }
}

#[test]
fn a_connected_call_counts_from_the_answer_of_its_second_party() {
    let request = CallRequest::connect("1001".parse().unwrap(), "1002".parse().unwrap())
        .with_timeout(Duration::from_secs(20))
        .with_max_duration(Duration::from_secs(60));
    let line = text(call(request, Some(Keeper::Hash), Some("/rec/a.wav")));
    let (first, second) = line.split_once(" &bridge(").unwrap();
    for part in [
        "|connect|",
        "hangup_after_bridge=true",
        "call_timeout=20",
        "transfer_ringback=%(2000",
        // The net: the ringing of the second one, the limit, and some time.
        r"execute_on_answer_limit=sched_hangup\s+110\s",
        "}sofia/gateway/trunk/1001",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(!first.contains("record"), "{first}");
    for part in [
        r"execute_on_answer_limit=sched_hangup\s+60\s",
        r"api_on_answer_record=uuid_record\s09000012-0000-4000-8000-000000001201\sstart\s/rec/a.wav",
        "}sofia/gateway/trunk/1002)",
    ] {
        assert!(second.contains(part), "{part} in {second}");
    }
}

#[test]
fn what_could_leave_its_place_is_refused() {
    let name = |name: &str| dial().with_caller_id_name(name);
    let then = |name: &str, data: &str| {
        dial().on_answer(OnAnswer::Application {
            name: name.to_owned(),
            data: data.to_owned(),
        })
    };
    let extension = |extension: &str, context: &str| {
        dial().on_answer(OnAnswer::Extension {
            extension: extension.to_owned(),
            context: Some(context.to_owned()),
        })
    };
    let native = |to: &str| CallRequest::dial(Address::native(to));
    for request in [
        name("a\"b"),
        name("a$b"),
        name("a\nb"),
        then("playback) exit", ""),
        then("", ""),
        then("playback", "a)b"),
        then("playback", "a\nb"),
        extension("undef", "default"),
        extension("700", "undef"),
        extension("&system", "default"),
        extension("70 0", "default"),
        dial().with_variable("api_hangup_hook", "system reboot"),
        dial().with_variable("execute_on_answer", "system reboot"),
        dial().with_variable("Origination_UUID", "x"),
        dial().with_variable("sip_h_X-A", "x"),
        dial().with_variable("a", "${system(reboot)}"),
        dial().with_variable("a", ""),
        dial().with_variable("a=b", "c"),
        dial().with_variable("a", "x\nexit\n"),
        dial().with_header("Via", "x"),
        dial().with_header("X-A", "${hostname}"),
        native("loopback/1").with_header("X-A", "x"),
        native("sofia/a/1,sofia/a/2"),
        CallRequest::connect("1".parse().unwrap(), Address::native("sofia/a/1)")),
    ] {
        let error = call(request.clone(), Some(Keeper::Db), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{request:?}");
    }
    for file in ["/a b.wav", "/a,b.wav", "/${x}.wav", ""] {
        assert!(call(dial(), None, Some(file)).is_err(), "{file:?}");
    }
}

fn image() -> FaxImage {
    let folder = tempfile::tempdir().unwrap();
    faxbot_testkit::conformance::samples::image(folder.path(), 3).unwrap()
}

fn fax() -> FaxRequest {
    FaxRequest::new("+493012345678".parse().unwrap(), image()).with_id(id())
}

fn send(request: &FaxRequest, file: &str) -> Result<Command> {
    let (config, store) = (
        config("&station_id=+4930 1"),
        OutcomeStore::new("faxbot", Some(Keeper::Db)),
    );
    let originator = Originator {
        config: &config,
        store: &store,
    };
    originator.send_fax(request, file)
}

#[test]
fn a_fax_needs_no_dialplan_and_keeps_its_pages() {
    let line = text(send(&fax(), "/srv/out.tif"));
    for part in [
        "|fax|",
        "fax_enable_t38=true,fax_enable_t38_request=true,",
        "fax_ident=+4930%201,",
        "fax_verbose=false,",
        "fax_header=%00,",
        "fax_use_ecm=true,",
        r"absolute_codec_string=PCMU\,PCMA,",
        r"execute_on_answer_limit=sched_hangup\s+",
        r"execute_on_fax_phase_d=db\sinsert/faxpages-faxbot/09000012-0000-4000-8000-000000001201/${fax_document_transferred_pages}",
        "}sofia/gateway/trunk/+493012345678 &txfax(/srv/out.tif)\n\n",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    for part in ["fax_start_page=", "fax_disable_v17", "phase_b"] {
        assert!(!line.contains(part), "{part} in {line}");
    }
}

#[test]
fn options_of_a_fax_are_variables_of_its_channel() {
    let mut request = fax()
        .with_station_id("a,'${b}%41".parse().unwrap())
        .with_header("Ünïted {x}".parse().unwrap())
        .with_first_page(3);
    request.ecm = false;
    request.max_rate = Some(9_600);
    request.t38 = T38Mode::Require;
    let line = text(send(&request, "/srv/out.tif"));
    for part in [
        "|t38|",
        "fax_ident=a%2C%27%24%7Bb%7D%2541,",
        "fax_header=%C3%9Cn%C3%AFted%20%7Bx%7D,",
        "fax_use_ecm=false,",
        "fax_disable_v17=true,",
        "fax_start_page=2,",
        r"execute_on_fax_phase_b=sched_hangup\s+${cond(${fax_t38_status}",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    request.t38 = T38Mode::Disable;
    request.max_rate = Some(14_400);
    let line = text(send(&request, "/srv/out.tif"));
    for part in [
        "|fax|",
        "fax_enable_t38=false,fax_enable_t38_request=false,",
        "fax_disable_v17=false,",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    request.max_rate = Some(4_800);
    assert!(send(&request, "/srv/out.tif").is_err());
}

#[test]
fn a_fax_without_a_page_to_begin_with_is_refused() {
    for page in [0, 4, u32::MAX] {
        let error = send(&fax().with_first_page(page), "/srv/out.tif").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{page}");
    }
}

#[test]
fn a_file_that_would_leave_its_argument_is_refused() {
    for file in ["/a)b.tif", "/a(b.tif", "/${x}.tif", "/a'b.tif", "/a\nb", ""] {
        assert!(send(&fax(), file).is_err(), "{file:?}");
    }
}

#[test]
fn a_received_fax_waits_for_the_senders_t38_and_keeps_its_outcome() {
    let (config, store) = (config(""), OutcomeStore::new("faxbot", Some(Keeper::Hash)));
    let originator = Originator {
        config: &config,
        store: &store,
    };
    let variables = originator.receive_fax("4d3f").unwrap();
    let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "fax_enable_t38",
            "fax_ident",
            "fax_verbose",
            "faxbot_instance",
            "api_hangup_hook",
            "execute_on_fax_phase_d",
        ]
    );
    let hook = &variables[4].1;
    assert!(
        hook.starts_with("hash insert/faxbot-faxbot/4d3f/1|rx|${"),
        "{hook}"
    );
}

#[test]
fn time_outs_are_whole_seconds_and_never_none() {
    for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
    }
    assert_eq!(whole_seconds(Duration::MAX), i32::MAX.to_string());
}
