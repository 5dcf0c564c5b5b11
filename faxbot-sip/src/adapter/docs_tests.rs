//! The documentation of the adapters has what the code has: one check for all of them.

use faxbot_core::{
    config::FieldTable,
    sip::{Capabilities, Capability, SipAdapter as _},
};
use serde_json::{Value, json};

use super::{asterisk, flexisip, freeswitch, fusionpbx, kamailio, opensips, yate};

/// A page of the documentation, with sections that are made by the code.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where it is, for whoever has to change it.
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

/// A file of the repository, by its path there.
macro_rules! page {
    ($path:literal) => {
        $crate::adapter::docs_tests::Page {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path)),
        }
    };
}
pub(crate) use page;

impl Page {
    /// What stands between the two marks of a section.
    fn section(&self, name: &str) -> &'static str {
        let start = format!("<!-- {name}: checked by a test -->");
        let end = format!("<!-- end of {name} -->");
        let from = self.text.find(&start);
        let from = from.unwrap_or_else(|| panic!("{} has no section {name}", self.path));
        let rest = &self.text[from + start.len()..];
        let to = rest.find(&end);
        rest[..to.unwrap_or_else(|| panic!("{}: {name} does not end", self.path))].trim()
    }

    /// What is wrong with a section that should be what the code made of it.
    pub(crate) fn lacks(&self, name: &str, made: &str) -> Option<String> {
        let (path, made) = (self.path, made.trim());
        (self.section(name) != made)
            .then(|| format!("put this into {path}, section {name}:\n\n{made}\n"))
    }
}

/// Fails with all that is wrong.
pub(crate) fn nothing_of(wrong: impl IntoIterator<Item = Option<String>>) {
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An adapter and its page.
struct Documented {
    name: &'static str,
    page: Page,
    fields: FieldTable,
    /// With everything that can be turned on.
    capabilities: Capabilities,
}

/// What an adapter can do at the best is asked of a configuration that leaves nothing out.
fn config(kind: &str, auth: Value, options: Value) -> Value {
    let mut all = json!({ "dial": "1/{number}", "spool": "/srv/fax" });
    if let (Some(all), Value::Object(own)) = (all.as_object_mut(), options) {
        all.extend(own);
    }
    json!({ "type": kind, "auth": auth, "options": all })
}

fn documented() -> Vec<Documented> {
    let account = json!({ "username": "faxbot", "password": "secret" });
    let password = json!({ "password": "secret" });
    let tenant = json!({ "password": "secret", "domain": "tenant.example" });
    let asterisk_options = json!({ "incoming_context": "incoming" });
    let park = json!({ "incoming": "park" });
    let yate_options = json!({ "incoming": true, "cdr": true, "recordings": "/srv/rec" });

    let asterisk_config = config("asterisk", account, asterisk_options);
    let freeswitch_config = config("freeswitch", password, park.clone());
    let fusionpbx_config = config("fusionpbx", tenant, park);
    let yate_config = config("yate", json!({}), yate_options);
    vec![
        Documented {
            name: "Asterisk",
            page: page!("docs/adapters/asterisk.md"),
            fields: asterisk::FIELDS,
            capabilities: asterisk::docs_tests::at_the_best(
                &asterisk::AsteriskConfig::from_value(&asterisk_config).unwrap(),
            ),
        },
        Documented {
            name: "FreeSWITCH",
            page: page!("docs/adapters/freeswitch.md"),
            fields: freeswitch::FIELDS,
            capabilities: freeswitch::FreeswitchAdapter::new(
                freeswitch::FreeswitchConfig::from_value(&freeswitch_config).unwrap(),
            )
            .capabilities(),
        },
        Documented {
            name: "FusionPBX",
            page: page!("docs/adapters/fusionpbx.md"),
            fields: fusionpbx::FIELDS,
            capabilities: fusionpbx::FusionpbxAdapter::new(
                fusionpbx::FusionpbxConfig::from_value(&fusionpbx_config).unwrap(),
            )
            .capabilities(),
        },
        Documented {
            name: "Yate",
            page: page!("docs/adapters/yate.md"),
            fields: yate::FIELDS,
            capabilities: yate::YateAdapter::new(
                yate::YateConfig::from_value(&yate_config).unwrap(),
            )
            .capabilities(),
        },
        Documented {
            name: "Kamailio",
            page: page!("docs/adapters/kamailio.md"),
            fields: kamailio::FIELDS,
            capabilities: kamailio::KamailioAdapter::new(
                kamailio::KamailioConfig::from_url(
                    "kamailio+http://127.0.0.1/RPC?events=127.0.0.1:8448",
                )
                .unwrap(),
            )
            .capabilities(),
        },
        Documented {
            name: "OpenSIPS",
            page: page!("docs/adapters/opensips.md"),
            fields: opensips::FIELDS,
            capabilities: opensips::OpenSipsAdapter::new(
                opensips::OpenSipsConfig::from_url(
                    "opensips+http://127.0.0.1/mi?events=udp:127.0.0.1:0",
                )
                .unwrap(),
            )
            .capabilities(),
        },
        Documented {
            name: "Flexisip",
            page: page!("docs/adapters/flexisip.md"),
            fields: flexisip::FIELDS,
            capabilities: flexisip::FlexisipAdapter::new(
                flexisip::FlexisipConfig::from_url("flexisip://key@accounts.example").unwrap(),
            )
            .capabilities(),
        },
    ]
}

/// What a capability is called in the documentation.
fn words(capability: Capability) -> &'static str {
    match capability {
        Capability::Dial => "dial one party",
        Capability::Connect => "connect two parties",
        Capability::OnAnswerPark => "on answer: park",
        Capability::OnAnswerExtension => "on answer: an extension",
        Capability::OnAnswerBridge => "on answer: another party",
        Capability::OnAnswerApplication => "on answer: an application",
        Capability::RecordOnAnswer => "record from the answer on",
        Capability::MaxDuration => "longest duration",
        Capability::Variables => "variables",
        Capability::Headers => "SIP headers",
        Capability::Hangup => "hang up",
        Capability::LookupEnded => "outcome after a lost link",
        Capability::Incoming => "calls that come in",
        Capability::TransferBlind => "transfer, blind",
        Capability::TransferAttended => "transfer, attended",
        Capability::Hold => "hold and resume",
        Capability::Conference => "conference",
        Capability::Record => "record",
        Capability::SendDtmf => "send digits",
        Capability::CallHistory => "call history",
        Capability::Cdr => "records of the server",
        Capability::SendMessage => "send messages",
        Capability::SendFax => "send faxes",
        Capability::FaxFirstPage => "begin a fax with a later page",
        Capability::ReceiveFax => "receive faxes",
        other => panic!("say what {other:?} is called in the documentation"),
    }
}

fn matrix() -> String {
    let adapters = documented();
    let names: Vec<_> = adapters.iter().map(|it| it.name).collect();
    let mut out = format!("| what | {} |\n|---|", names.join(" | "));
    out.push_str(&"---|".repeat(names.len()));
    for &capability in Capability::ALL {
        out.push_str(&format!("\n| {} |", words(capability)));
        for it in &adapters {
            let has = it.capabilities.has(capability);
            out.push_str(if has { " yes |" } else { " no |" });
        }
    }
    out
}

#[test]
fn the_tables_of_fields_are_those_of_the_code() {
    let all = documented();
    nothing_of(
        all.iter()
            .map(|it| it.page.lacks("fields", &it.fields.markdown())),
    );
}

#[test]
fn the_readme_says_which_adapter_can_do_what() {
    nothing_of([page!("README.md").lacks("capabilities", &matrix())]);
}
