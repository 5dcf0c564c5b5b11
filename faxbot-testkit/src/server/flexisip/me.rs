//! What belongs to one account, for itself and for an admin.

use serde_json::{Value, json};

use super::{
    answer::{Answer, abort, created, empty, invalid, not_found, ok, paged, rows, text},
    check,
    vendor::MockFlexisip,
};
use crate::server::http::{HttpAnswer, SeenRequest};

/// Calls on a page.
const CALLS: usize = 30;

/// What both have below `accounts/{me or id}`.
pub(super) fn shared(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    account: u64,
) -> Option<Answer> {
    Some(match (request.method.as_str(), path) {
        (_, ["devices", rest @ ..]) => devices(vendor, request, rest, account),
        ("GET", ["provision"]) => {
            let token = vendor.fresh("prov");
            let Some(account) = vendor.account_mut(account) else {
                return Some(Err(not_found(request)));
            };
            account.provisioning = token;
            Ok(ok(&account.json(true)))
        }
        ("GET", ["statistics", "calls"]) => {
            let found = vendor.account(account);
            let calls = found.map(|it| vendor.calls.of(&it.username, &it.domain));
            Ok(paged(request, &calls.unwrap_or_default(), CALLS))
        }
        (_, ["call_forwardings", rest @ ..]) => forwardings(vendor, request, rest, account),
        (_, ["voicemails", rest @ ..]) => voicemails(vendor, request, rest, account),
        (_, ["vcards-storage", rest @ ..]) => vcards(vendor, request, rest, account),
        _ => return None,
    })
}

fn devices(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    account: u64,
) -> Answer {
    let down = vendor.store_down;
    let account = vendor
        .account_mut(account)
        .ok_or_else(|| not_found(request))?;
    match (request.method.as_str(), path) {
        ("GET", []) if down => Ok(ok(&json!({}))),
        ("GET", []) => Ok(ok(&account.devices_json())),
        ("DELETE", [uuid]) => {
            let before = account.devices.len();
            if !down {
                account.devices.retain(|device| device.uuid != *uuid);
            }
            // A boolean of PHP as text.
            Ok(match account.devices.len() < before {
                true => text(200, "1"),
                false => empty(),
            })
        }
        _ => Err(not_found(request)),
    }
}

fn forwardings(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    account: u64,
) -> Answer {
    let new_id = vendor.next_id();
    let contact_uri = |vendor: &MockFlexisip, id: Option<u64>| {
        let contact = vendor.account(id?)?;
        Some(format!("sip:{}", contact.address()))
    };
    let map = check::object(request)?;
    let contact = map.get("contact_id").and_then(Value::as_u64);
    let contact_uri = contact_uri(vendor, contact);
    let account = vendor
        .account_mut(account)
        .ok_or_else(|| not_found(request))?;
    let all = &mut account.forwardings;
    let id = path.first().and_then(|id| id.parse::<u64>().ok());
    let at = all
        .iter()
        .position(|it| it.get("id").and_then(Value::as_u64) == id && id.is_some());
    let kind = |it: &Value| {
        it.get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match (request.method.as_str(), path.len(), at) {
        ("GET", 0, _) => Ok(ok(&json!(all))),
        (method @ ("POST" | "PUT"), _, at) if (method == "POST") == path.is_empty() => {
            if method == "PUT" && at.is_none() {
                return Err(not_found(request));
            }
            check::required(request, &map, &["type", "forward_to", "enabled"])?;
            check::word(request, &map, "type", &["always", "no_answer", "busy"])?;
            let to: &[&str] = match method {
                "POST" => &["sip_uri", "contact", "voicemail"],
                _ => &["sip_uri"],
            };
            check::word(request, &map, "forward_to", to)?;
            let uri = check::text(&map, "sip_uri");
            let to = check::text(&map, "forward_to");
            if to == Some("sip_uri") && uri.is_none_or(|uri| check::sip(uri).is_none()) {
                let wrong = [("sip_uri", "The sip uri must be a valid SIP URI.")];
                return Err(invalid(request, &wrong));
            }
            if to == Some("contact") && !contact.is_some_and(|it| account.contacts.contains(&it)) {
                let wrong = [("contact_id", "The selected contact id is invalid.")];
                return Err(invalid(request, &wrong));
            }
            let wanted = check::text(&map, "type").unwrap_or_default();
            let enabled = map.get("enabled").and_then(Value::as_bool) == Some(true);
            let mut others = all.iter().enumerate().filter(|(n, _)| Some(*n) != at);
            let clash = others.any(|(_, it)| {
                let both = it.get("enabled").and_then(Value::as_bool) == Some(true) && enabled;
                kind(it) == wanted || (both && (wanted == "always" || kind(it) == "always"))
            });
            if clash {
                return Err(invalid(
                    request,
                    &[("type", "The type has already been taken.")],
                ));
            }
            let made = json!({
                "id": id.filter(|_| at.is_some()).unwrap_or(new_id),
                "type": wanted,
                "forward_to": to,
                "sip_uri": uri,
                "contact_id": contact,
                "contact_sip_uri": contact_uri,
                "enabled": enabled,
            });
            match at.and_then(|at| all.get_mut(at)) {
                Some(rule) => {
                    *rule = made.clone();
                    Ok(ok(&made))
                }
                None => {
                    all.push(made.clone());
                    Ok(created(&made))
                }
            }
        }
        ("GET", 1, Some(at)) => Ok(ok(&all.get(at).cloned().into())),
        ("DELETE", 1, at) => Ok(rows(usize::from(at.map(|at| all.remove(at)).is_some()))),
        _ => Err(not_found(request)),
    }
}

fn voicemails(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    account: u64,
) -> Answer {
    let id = vendor.fresh("voicemail-");
    let map = check::object(request)?;
    let account = vendor
        .account_mut(account)
        .ok_or_else(|| not_found(request))?;
    let all = &mut account.voicemails;
    let at = |id: &str, all: &[serde_json::Map<String, Value>]| {
        all.iter()
            .position(|it| it.get("id").and_then(Value::as_str) == Some(id))
    };
    match (request.method.as_str(), path) {
        ("GET", []) => Ok(ok(&json!(all))),
        ("POST", []) => {
            if !account.texts.contains_key("email") {
                return Err(abort(
                    request,
                    422,
                    "The has not email address attached to it",
                ));
            }
            check::required(request, &map, &["content_type"])?;
            check::word(request, &map, "content_type", &["audio/opus", "audio/wav"])?;
            let made = json!({
                "id": id,
                "sip_from": map.get("sip_from"),
                "content_type": map.get("content_type"),
                "created_at": "2026-11-21T08:00:00.000000Z",
                "uploaded_at": null,
                "download_url": null,
            });
            let mut answer = made.clone();
            if let (Value::Object(kept), Value::Object(told)) = (made, &mut answer) {
                all.push(kept);
                let url = format!("http://localhost/api/files/{id}");
                told.insert("upload_url".into(), url.into());
                told.insert("max_upload_size".into(), 2_097_152.into());
            }
            Ok(created(&answer))
        }
        ("GET", [id]) => match at(id, all).and_then(|at| all.get(at)) {
            Some(found) => Ok(ok(&json!(found))),
            None => Err(not_found(request)),
        },
        ("DELETE", [id]) => {
            let at = at(id, all);
            Ok(rows(usize::from(at.map(|at| all.remove(at)).is_some())))
        }
        _ => Err(not_found(request)),
    }
}

/// `POST files/{uuid}`.
pub(super) fn upload(vendor: &mut MockFlexisip, request: &SeenRequest, id: &str) -> Answer {
    let mut slots = vendor.accounts.iter_mut().flat_map(|it| &mut it.voicemails);
    let slot = slots.find(|it| it.get("id").and_then(Value::as_str) == Some(id));
    let slot = slot.filter(|slot| slot.get("uploaded_at").is_none_or(Value::is_null));
    let slot = slot.ok_or_else(|| not_found(request))?;
    let parts = request.parts.as_ref().and_then(|parts| parts.as_ref().ok());
    let file = parts.and_then(|parts| parts.iter().find(|part| part.name == "file"));
    let wanted = slot.get("content_type").and_then(Value::as_str);
    if file.is_none_or(|file| file.file_name.is_none() || file.content_type.as_deref() != wanted) {
        return Err(invalid(
            request,
            &[("file", "The file must be of the type.")],
        ));
    }
    slot.insert("uploaded_at".into(), "2026-11-21T08:00:01.000000Z".into());
    let url = format!("http://localhost/files/{id}/download");
    slot.insert("download_url".into(), url.into());
    Ok(ok(&json!(slot)))
}

fn vcards(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str], account: u64) -> Answer {
    let map = check::object(request)?;
    let account = vendor
        .account_mut(account)
        .ok_or_else(|| not_found(request))?;
    let all = &mut account.vcards;
    let json = |text: &String| json!({ "vcard": text, "created_at": null, "updated_at": null });
    let given = || {
        check::required(request, &map, &["vcard"])?;
        let text = check::text(&map, "vcard")
            .unwrap_or_default()
            .replace("\r\n", "\n");
        let uid = text.lines().find_map(|line| line.strip_prefix("UID:"));
        match uid.map(str::to_owned) {
            Some(uid) if text.starts_with("BEGIN:VCARD") => Ok((uid, text)),
            _ => Err(invalid(request, &[("vcard", "The vcard is invalid.")])),
        }
    };
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let all = all.iter().map(|(uid, text)| (uid.clone(), json(text)));
            Ok(ok(&Value::Object(all.collect())))
        }
        ("POST", []) => {
            let (uid, text) = given()?;
            if all.contains_key(&uid) {
                return Err(abort(request, 409, "Vcard already exists"));
            }
            let answer = created(&json(&text));
            all.insert(uid, text);
            Ok(answer)
        }
        ("GET", [uid]) => match all.get(*uid) {
            Some(text) => Ok(ok(&json(text))),
            None => Err(not_found(request)),
        },
        ("PUT", [uid]) => {
            let (new, text) = given()?;
            if new != *uid {
                return Err(abort(request, 422, "UUID should be the same"));
            }
            let kept = all.get_mut(*uid).ok_or_else(|| not_found(request))?;
            kept.clone_from(&text);
            Ok(ok(&json(&text)))
        }
        ("DELETE", [uid]) => match all.remove(*uid) {
            Some(_) => Ok(text(200, "1")),
            None => Err(not_found(request)),
        },
        _ => Err(not_found(request)),
    }
}

/// What an account does for itself.
pub(super) fn me(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    id: u64,
) -> Answer {
    if let Some(answer) = shared(vendor, request, path, id) {
        return answer;
    }
    let map = check::object(request)?;
    let Some(account) = vendor.account(id).cloned() else {
        return Err(not_found(request));
    };
    let text_of = |name| check::text(&map, name).unwrap_or_default().to_owned();
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let mut body = account.json(false);
            if let Value::Object(body) = &mut body {
                body.insert("passwords".into(), json!([{ "algorithm": "SHA-256" }]));
            }
            Ok(ok(&body))
        }
        ("DELETE", []) => {
            vendor.tombstones.push(account.address());
            vendor.accounts.retain(|it| it.id != id);
            Ok(text(200, "1"))
        }
        ("GET", ["services", "turn"]) => Err(abort(request, 404, "No TURN service configured")),
        ("POST", ["password"]) => {
            check::required(request, &map, &["password", "old_password"])?;
            if text_of("old_password") != account.password {
                let body = json!({ "errors": { "old_password": "Incorrect old password" } });
                return Ok(HttpAnswer::json(422, &body));
            }
            let account = vendor.account_mut(id).ok_or_else(|| not_found(request))?;
            account.password = text_of("password");
            Ok(ok(&account.json(false)))
        }
        ("POST", [what @ ("phone" | "email"), "request"]) => {
            if !account.may_change {
                return Err(abort(request, 403, "Account unvalidated"));
            }
            check::required(request, &map, &[what])?;
            let account = vendor.account_mut(id).ok_or_else(|| not_found(request))?;
            account
                .wanted
                .insert((*what).to_owned(), text_of(what).into());
            Ok(empty())
        }
        ("POST", [what @ ("phone" | "email")]) => {
            check::required(request, &map, &["code"])?;
            let account = vendor.account_mut(id).ok_or_else(|| not_found(request))?;
            let wanted = account
                .wanted
                .get(*what)
                .and_then(Value::as_str)
                .map(str::to_owned);
            match wanted.filter(|_| text_of("code") == MockFlexisip::CODE) {
                Some(wanted) => {
                    let name = if *what == "phone" { "phone" } else { "email" };
                    account.texts.insert(name, wanted);
                    Ok(ok(&account.json(false)))
                }
                None => Err(invalid(request, &[("code", "The code is not valid.")])),
            }
        }
        ("GET", ["contacts"]) => {
            let all = account.contacts.iter().filter_map(|it| vendor.account(*it));
            Ok(ok(&all.map(|it| it.json(false)).collect()))
        }
        ("GET", ["contacts", sip]) => {
            let mut all = account.contacts.iter().filter_map(|it| vendor.account(*it));
            match all.find(|it| it.address() == *sip) {
                Some(found) => Ok(ok(&found.json(false))),
                None => Err(not_found(request)),
            }
        }
        _ => Err(not_found(request)),
    }
}
