//! Tokens, keys and pushes.

use serde_json::{Map, Value, json};

use super::{
    account::MockAccount,
    answer::{Answer, Refused, abort, created, empty, invalid, not_found, ok, text},
    check,
    vendor::MockFlexisip,
};
use crate::server::http::SeenRequest;

/// Where a push goes, checked.
fn target(request: &SeenRequest) -> Result<Map<String, Value>, Refused> {
    let map = check::object(request)?;
    check::required(request, &map, &["pn_provider"])?;
    check::word(request, &map, "pn_provider", &["apns.dev", "apns", "fcm"])?;
    let odd = |text: &str, more: &str| {
        text.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || more.contains(c)))
    };
    for (field, more) in [("pn_param", "."), ("pn_prid", "-:")] {
        if check::text(&map, field).is_some_and(|text| odd(text, more)) {
            return Err(invalid(
                request,
                &[(field, "The value has other characters.")],
            ));
        }
    }
    Ok(map)
}

impl MockFlexisip {
    fn push(&mut self, request: &SeenRequest, word: &str, message: &str) -> Answer {
        if self.pusher_down {
            return Err(abort(request, 503, message));
        }
        self.pushed.push(word.to_owned());
        Ok(empty())
    }
}

/// `account_creation_tokens` and their like, as far as nobody has to say who asks.
pub(super) fn public(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    match path {
        ["account_creation_request_tokens"] => {
            let token = vendor.fresh("request");
            vendor.requests.insert(token.clone(), false);
            let page = format!("http://localhost/creation_request_token/check/{token}");
            Ok(created(&json!({ "token": token, "validation_url": page })))
        }
        [_, "send-by-push"] => {
            target(request)?;
            if vendor.throttled {
                return Err(abort(request, 429, "Last token requested too recently"));
            }
            let token = vendor.fresh("creation");
            let answer = vendor.push(request, "token", "Token not sent")?;
            vendor.creation.insert(token, false);
            Ok(answer)
        }
        [_, "using-account-creation-request-token"] => {
            let map = check::object(request)?;
            check::required(request, &map, &["account_creation_request_token"])?;
            let asked = check::text(&map, "account_creation_request_token").unwrap_or_default();
            match vendor.requests.get(asked) {
                None => {
                    let wrong = [(
                        "account_creation_request_token",
                        "Please provide a valid token",
                    )];
                    Err(invalid(request, &wrong))
                }
                Some(false) => Err(not_found(request)),
                Some(true) => {
                    vendor.requests.remove(asked);
                    let token = vendor.fresh("creation");
                    vendor.creation.insert(token.clone(), false);
                    Ok(created(
                        &json!({ "token": token, "expire_at": null, "used": 0 }),
                    ))
                }
            }
        }
        ["accounts", "auth_token"] => {
            let token = vendor.fresh("login");
            vendor.logins.insert(token.clone(), None);
            Ok(created(&json!({ "token": token })))
        }
        ["accounts", "me", "api_key", token] => match vendor.logins.get(*token) {
            Some(Some(account)) => {
                let account = *account;
                vendor.logins.remove(*token);
                Ok(ok(&json!({ "api_key": key_of(vendor, account) })))
            }
            _ => Err(not_found(request)),
        },
        ["accounts", "with-account-creation-token"] => {
            let map = check::object(request)?;
            check::required(
                request,
                &map,
                &["username", "password", "account_creation_token"],
            )?;
            for field in ["admin", "activated"] {
                if map.contains_key(field) {
                    return Err(invalid(request, &[(field, "The field must be missing.")]));
                }
            }
            let token = check::text(&map, "account_creation_token").unwrap_or_default();
            if vendor.creation.get(token) != Some(&false) {
                let wrong = [("account_creation_token", "Please provide a valid token")];
                return Err(invalid(request, &wrong));
            }
            let account = create(vendor, request, &map, false)?;
            vendor.creation.insert(token.to_owned(), true);
            Ok(ok(&account))
        }
        _ => Err(not_found(request)),
    }
}

fn key_of(vendor: &mut MockFlexisip, account: u64) -> String {
    vendor
        .keys
        .retain(|key, it| *it != account || !key.starts_with("key"));
    let key = vendor.fresh("key");
    vendor.keys.insert(key.clone(), account);
    key
}

/// What an account asks for, beside `accounts/me`.
pub(super) fn user(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    path: &[&str],
    account: u64,
) -> Answer {
    match path {
        ["accounts", "auth_token", token, "attach"] => match vendor.logins.get_mut(*token) {
            Some(login @ None) => {
                *login = Some(account);
                Ok(empty())
            }
            _ => Err(not_found(request)),
        },
        ["account_creation_tokens", "consume"] => {
            let map = check::object(request)?;
            let token = check::text(&map, "account_creation_token").unwrap_or_default();
            match vendor.creation.get_mut(token) {
                Some(used @ false) => *used = true,
                _ => return Err(not_found(request)),
            }
            if let Some(account) = vendor.account_mut(account) {
                account.may_change = true;
            }
            Ok(ok(&json!({ "token": token, "used": true })))
        }
        ["push_notification"] => {
            let map = target(request)?;
            check::required(request, &map, &["type"])?;
            check::word(request, &map, "type", &["background", "message", "call"])?;
            let word = check::text(&map, "type").unwrap_or_default();
            vendor.push(request, word, "Push notification not sent")
        }
        ["accounts", "me", "api_key"] => Ok(text(200, &key_of(vendor, account))),
        _ => Err(not_found(request)),
    }
}

/// Makes an account of a body that was read.
pub(super) fn create(
    vendor: &mut MockFlexisip,
    request: &SeenRequest,
    map: &Map<String, Value>,
    as_admin: bool,
) -> Result<Value, Refused> {
    check::required(request, map, &["username", "password"])?;
    check::word(
        request,
        map,
        "dtmf_protocol",
        &["sipinfo", "rfc2833", "sipmessage"],
    )?;
    let text = |name| check::text(map, name).unwrap_or_default();
    let Some(space) = vendor.space(request) else {
        return Err(not_found(request));
    };
    let domain = space.domain.clone();
    let here = vendor
        .accounts
        .iter()
        .filter(|it| it.domain == domain)
        .count();
    if space.max_accounts > 0 && here >= space.max_accounts {
        return Err(abort(request, 403, "This action is unauthorized."));
    }
    let username = text("username");
    if username.chars().any(char::is_uppercase) {
        return Err(invalid(
            request,
            &[("username", "The username must be in lower case.")],
        ));
    }
    let address = format!("{username}@{domain}");
    let taken = vendor.accounts.iter().any(|it| it.address() == address);
    if taken || vendor.tombstones.contains(&address) {
        return Err(invalid(
            request,
            &[("username", "The username has already been taken.")],
        ));
    }
    if text("password").len() < 3 {
        return Err(invalid(
            request,
            &[("password", "The password is too short.")],
        ));
    }
    if check::text(map, "email").is_some_and(|email| !email.contains('@')) {
        return Err(invalid(
            request,
            &[("email", "The email must be a valid email address.")],
        ));
    }
    let mut account = MockAccount::new(vendor.next_id(), username, &domain, text("password"));
    let is = |name: &str| as_admin && map.get(name).and_then(Value::as_bool) == Some(true);
    account.activated = is("activated");
    account.admin = is("admin");
    if as_admin {
        MockFlexisip::put_texts(&mut account, map);
        dictionary(&mut account, map);
    } else if let Some(dtmf) = check::text(map, "dtmf_protocol") {
        account.texts.insert("dtmf_protocol", dtmf.to_owned());
    }
    let answer = account.json(as_admin);
    vendor.accounts.push(account);
    Ok(answer)
}

/// A dictionary replaces the one before.
pub(super) fn dictionary(account: &mut MockAccount, map: &Map<String, Value>) {
    if let Some(Value::Object(entries)) = map.get("dictionary") {
        account.dictionary = entries
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
    }
}
