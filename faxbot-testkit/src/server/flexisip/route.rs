//! What is asked of `/api/`.

use serde_json::{Value, json};

use super::{
    account::action,
    answer::{Answer, abort, created, empty, invalid, not_found, ok, paged, rows, text},
    check, me, space, statistics, token,
    vendor::MockFlexisip,
};
use crate::server::http::{HttpAnswer, SeenRequest};

/// Accounts on a page.
const ACCOUNTS: usize = 20;

pub(super) fn route(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    match vendor.space(request) {
        None => return Err(abort(request, 404, "Host not configured")),
        Some(space) if space.expired => {
            return Err(abort(request, 403, "The related Space has expired"));
        }
        Some(_) => {}
    }
    // Broken JSON is refused before anybody asks who is there.
    if request.parts.is_none() {
        check::object(request)?;
    }
    let ["api", path @ ..] = path else {
        return Err(abort(request, 404, "Not Found"));
    };
    match (request.method.as_str(), path) {
        ("GET", ["ping"]) => Ok(text(200, "pong")),
        (
            "POST",
            ["account_creation_request_tokens"]
            | [
                "account_creation_tokens" | "account_recovery_tokens",
                "send-by-push",
            ]
            | [
                "account_creation_tokens",
                "using-account-creation-request-token",
            ]
            | ["accounts", "auth_token" | "with-account-creation-token"],
        )
        | ("GET", ["accounts", "me", "api_key", _]) => token::public(vendor, request, path),
        ("GET", ["accounts", "auth_token", _, "attach"] | ["accounts", "me", "api_key"])
        | ("POST", ["account_creation_tokens", "consume"] | ["push_notification"]) => {
            let who = vendor.user(request)?;
            let answer = token::user(vendor, request, path, who.account)?;
            Ok(who.adorn(answer))
        }
        (_, ["accounts", "me", rest @ ..]) => {
            let who = vendor.user(request)?;
            let answer = me::me(vendor, request, rest, who.account)?;
            Ok(who.adorn(answer))
        }
        ("POST", ["account_creation_tokens"]) => {
            vendor.admin(request)?;
            let token = vendor.fresh("creation");
            vendor.creation.insert(token.clone(), false);
            Ok(created(
                &json!({ "token": token, "expire_at": "2026-11-22 08:00:00" }),
            ))
        }
        ("POST", ["messages"]) if vendor.daemon.is_some() => messages(vendor, request),
        ("POST", ["files", id]) => {
            vendor.admin(request)?;
            me::upload(vendor, request, id)
        }
        ("POST", ["wizard"]) => {
            vendor.admin(request)?;
            let map = check::object(request)?;
            let words = ["call", "show", "bye", "accept", "decline"];
            check::word(request, &map, "linphone_action", &words)?;
            if check::text(&map, "linphone_action") == Some("call") {
                check::required(request, &map, &["sip"])?;
            }
            let token = vendor.fresh("wizard");
            let url = format!("http://localhost/wizard/{token}");
            Ok(created(&json!({ "token": token, "url": url })))
        }
        ("GET", ["resolve", sip]) => {
            vendor.admin(request)?;
            let found = vendor.accounts.iter().find(|it| it.address() == *sip);
            let found = found.ok_or_else(|| not_found(request))?;
            // Text of JSON, said to be a page.
            let body = json!({ "type": "account", "payload": found.json(false) });
            Ok(text(200, &body.to_string()))
        }
        (_, ["spaces", rest @ ..]) => space::spaces(vendor, request, rest),
        (_, ["account_types", rest @ ..]) => space::types(vendor, request, rest),
        (_, ["contacts_lists", rest @ ..]) => space::lists(vendor, request, rest),
        (_, ["phone_countries", rest @ ..]) => space::countries(vendor, request, rest),
        (_, ["statistics", rest @ ..]) => statistics::route(vendor, request, rest),
        (_, ["accounts", rest @ ..]) => {
            let who = vendor.admin(request)?;
            let answer = accounts(vendor, request, rest)?;
            Ok(who.adorn(answer))
        }
        _ => Err(abort(request, 404, "The route could not be found.")),
    }
}

fn messages(vendor: &mut MockFlexisip, request: &SeenRequest) -> Answer {
    vendor.admin(request)?;
    let map = check::object(request)?;
    check::required(request, &map, &["to", "body"])?;
    let text = |name| check::text(&map, name).unwrap_or_default().to_owned();
    if let Some(Err(reason)) = &vendor.daemon {
        let body = json!({ "message": reason, "errors": [[reason]] });
        return Ok(HttpAnswer::json(422, &body));
    }
    vendor.sent.push((text("to"), text("body")));
    Ok(ok(&json!({ "id": vendor.sent.len().to_string() })))
}

/// `/accounts`, for an admin.
fn accounts(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    let method = request.method.as_str();
    let found = |found: Option<Value>, what: &str| match found {
        Some(found) => Ok(ok(&found)),
        None => Err(abort(request, 404, what)),
    };
    match (method, path) {
        ("GET", []) => {
            let all: Vec<_> = vendor.accounts.iter().map(|it| it.json(false)).collect();
            return Ok(paged(request, &all, ACCOUNTS));
        }
        ("POST", []) => {
            let map = check::object(request)?;
            return Ok(ok(&token::create(vendor, request, &map, true)?));
        }
        ("GET", [sip, "search"]) => {
            let it = vendor.accounts.iter().find(|it| it.address() == *sip);
            return found(it.map(|it| it.json(false)), "SIP address not found");
        }
        ("GET", [email, "search-by-email"]) => {
            let of = |texts: &std::collections::BTreeMap<&str, String>| {
                texts.get("email").is_some_and(|it| it == email)
            };
            let it = vendor.accounts.iter().find(|it| of(&it.texts));
            return found(it.map(|it| it.json(false)), "Email address not found");
        }
        _ => {}
    }
    let [id, rest @ ..] = path else {
        return Err(not_found(request));
    };
    let id: u64 = id.parse().map_err(|_| not_found(request))?;
    if vendor.account(id).is_none() {
        return Err(not_found(request));
    }
    if let Some(answer) = me::shared(vendor, request, rest, id) {
        let only_own = matches!((method, rest), ("GET", ["voicemails", ..]));
        return if only_own {
            Err(not_found(request))
        } else {
            answer
        };
    }
    one(vendor, request, rest, id)
}

/// `/accounts/{id}`.
fn one(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str], id: u64) -> Answer {
    let map = check::object(request)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| not_found(request));
    let new_id = vendor.next_id();
    let types: Vec<u64> = vendor.types.iter().map(|it| it.0).collect();
    let lists: Vec<u64> = vendor.lists.iter().map(|it| it.0).collect();
    let known: Vec<(u64, Value)> = vendor
        .accounts
        .iter()
        .map(|it| (it.id, it.json(false)))
        .collect();
    let Some(account) = vendor.account_mut(id) else {
        return Err(not_found(request));
    };
    match (request.method.as_str(), path) {
        ("GET", []) => Ok(ok(&account.json(false))),
        ("DELETE", []) => {
            let address = account.address();
            vendor.tombstones.push(address);
            vendor.accounts.retain(|it| it.id != id);
            Ok(empty())
        }
        ("PUT", []) => {
            check::required(request, &map, &["username"])?;
            MockFlexisip::put_texts(account, &map);
            let is = |name: &str| map.get(name).and_then(Value::as_bool);
            account.activated = is("activated").unwrap_or(account.activated);
            account.blocked = is("blocked").unwrap_or(account.blocked);
            account.admin = is("admin").unwrap_or(account.admin);
            check::text(&map, "username")
                .unwrap_or_default()
                .clone_into(&mut account.username);
            if let Some(password) = check::text(&map, "password") {
                password.clone_into(&mut account.password);
            }
            token::dictionary(account, &map);
            Ok(ok(&account.json(true)))
        }
        ("POST", [word @ ("activate" | "deactivate" | "block" | "unblock")]) => {
            match *word {
                "activate" => account.activated = true,
                "deactivate" => account.activated = false,
                "block" => account.blocked = true,
                _ => account.blocked = false,
            }
            Ok(ok(&account.json(false)))
        }
        ("POST", ["send_provisioning_email" | "send_reset_password_email"]) => {
            match account.texts.contains_key("email") {
                true => Ok(empty()),
                false => Err(abort(request, 403, "No email configured")),
            }
        }
        (method, [kind @ ("types" | "contacts_lists"), other]) => {
            let other = number(other)?;
            let (all, there) = match *kind {
                "types" => (&mut account.types, types),
                _ => (&mut account.lists, lists),
            };
            let at = all.iter().position(|it| *it == other);
            match (method, at) {
                ("POST", None) if there.contains(&other) => {
                    all.push(other);
                    Ok(empty())
                }
                ("POST", None) => Err(not_found(request)),
                ("DELETE", Some(at)) => {
                    all.remove(at);
                    Ok(rows(1))
                }
                _ => Err(abort(request, 403, "")),
            }
        }
        ("GET", ["contacts"]) => {
            let of = |id: &u64| known.iter().find(|it| it.0 == *id).map(|it| it.1.clone());
            Ok(ok(&account.contacts.iter().filter_map(of).collect()))
        }
        (method, ["contacts", other]) => {
            let other = number(other)?;
            let contact = known.iter().find(|it| it.0 == other);
            let at = account.contacts.iter().position(|it| *it == other);
            match (method, at, contact) {
                ("POST", at, Some(_)) => {
                    if at.is_none() {
                        account.contacts.push(other);
                    }
                    Ok(empty())
                }
                ("GET", Some(_), Some((_, contact))) => Ok(ok(contact)),
                ("DELETE", Some(at), _) => {
                    account.contacts.remove(at);
                    Ok(rows(1))
                }
                _ => Err(not_found(request)),
            }
        }
        (_, ["actions", rest @ ..]) => {
            if !account.texts.contains_key("dtmf_protocol") {
                return Err(abort(request, 403, "DTMF Protocol must be configured"));
            }
            let text = |name| check::text(&map, name).unwrap_or_default().to_owned();
            let at = rest.first().and_then(|it| it.parse::<u64>().ok());
            let at = account.actions.iter().position(|it| Some(it.0) == at);
            match (request.method.as_str(), rest.len(), at) {
                ("GET", 0, _) => Ok(ok(&account.actions.iter().map(action).collect())),
                ("POST", 0, _) => {
                    check::required(request, &map, &["key", "code"])?;
                    let made = (new_id, text("key"), text("code"));
                    account.actions.push(made.clone());
                    Ok(created(&action(&made)))
                }
                ("PUT", 1, Some(at)) => match account.actions.get_mut(at) {
                    Some(it) => {
                        (it.1, it.2) = (text("key"), text("code"));
                        Ok(ok(&action(it)))
                    }
                    None => Err(not_found(request)),
                },
                ("DELETE", 1, at) => {
                    let gone = at.map(|at| account.actions.remove(at));
                    Ok(rows(usize::from(gone.is_some())))
                }
                _ => Err(not_found(request)),
            }
        }
        ("GET", ["dictionary"]) => Ok(ok(&json!(account.dictionary))),
        ("DELETE", ["dictionary"]) => {
            let count = account.dictionary.len();
            account.dictionary.clear();
            Ok(rows(count))
        }
        ("GET", ["dictionary", key]) => Ok(match account.dictionary.get(*key) {
            Some(value) => ok(&json!({ "value": value })),
            None => empty(),
        }),
        ("POST", ["dictionary", key]) => {
            check::required(request, &map, &["value"])?;
            let value = check::text(&map, "value").unwrap_or_default();
            account
                .dictionary
                .insert((*key).to_owned(), value.to_owned());
            Ok(created(&json!({ "value": value })))
        }
        ("DELETE", ["dictionary", key]) => {
            let gone = account.dictionary.remove(*key);
            Ok(rows(usize::from(gone.is_some())))
        }
        ("GET", ["external"]) => match &account.external {
            Some(external) => Ok(ok(&json!(external))),
            None => Err(not_found(request)),
        },
        ("POST", ["external"]) => {
            check::required(request, &map, &["username", "domain", "protocol"])?;
            check::word(request, &map, "protocol", &["UDP", "TCP", "TLS"])?;
            if map
                .get("realm")
                .is_some_and(|realm| Some(realm) == map.get("domain"))
            {
                let wrong = [("realm", "The realm and domain must be different.")];
                return Err(invalid(request, &wrong));
            }
            if account.external.is_none() {
                check::required(request, &map, &["password"])?;
            }
            account.external = Some(map.clone());
            Ok(ok(&json!(map)))
        }
        ("DELETE", ["external"]) => Ok(match account.external.take() {
            Some(_) => text(200, "1"),
            None => empty(),
        }),
        _ => Err(abort(request, 404, "The route could not be found.")),
    }
}
