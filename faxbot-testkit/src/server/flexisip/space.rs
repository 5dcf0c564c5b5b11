//! Spaces, lists of contacts, types and countries.

use serde_json::{Value, json};

use super::{
    answer::{Answer, abort, created, empty, invalid, not_found, ok, rows},
    check,
    vendor::MockFlexisip,
};
use crate::server::http::{HttpAnswer, SeenRequest};

/// One domain that is served.
pub(super) struct SpaceState {
    name: String,
    pub(super) domain: String,
    pub(super) host: String,
    pub(super) is_super: bool,
    pub(super) expired: bool,
    pub(super) max_accounts: usize,
}

impl SpaceState {
    pub(super) fn new(name: &str, domain: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
            host: host.to_owned(),
            is_super: false,
            expired: false,
            max_accounts: 0,
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "domain": self.domain,
            "host": self.host,
            "super": self.is_super,
            "max_accounts": self.max_accounts,
            "expire_at": null,
            "web_panel": true,
            "theme_hue": 22,
            "email_server": null,
            "carddav_servers": [],
        })
    }
}

/// `/spaces`.
pub(super) fn spaces(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    vendor.super_admin(request)?;
    let at = |domain: &str, vendor: &MockFlexisip| {
        let found = vendor.spaces.iter().position(|it| it.domain == domain);
        found.ok_or_else(|| not_found(request))
    };
    match (request.method.as_str(), path) {
        ("GET", []) => Ok(ok(&vendor.spaces.iter().map(SpaceState::json).collect())),
        ("POST", []) => {
            let map = check::object(request)?;
            check::required(request, &map, &["name", "domain", "host"])?;
            let text = |name| check::text(&map, name).unwrap_or_default();
            if at(text("domain"), vendor).is_ok() {
                let taken = [("domain", "The domain has already been taken.")];
                return Err(invalid(request, &taken));
            }
            let space = SpaceState::new(text("name"), text("domain"), text("host"));
            let answer = created(&space.json());
            vendor.spaces.push(space);
            Ok(answer)
        }
        ("GET", [domain]) => {
            let at = at(domain, vendor)?;
            Ok(ok(&vendor.spaces.get(at).map(SpaceState::json).into()))
        }
        ("PUT", [domain]) => {
            let at = at(domain, vendor)?;
            let map = check::object(request)?;
            check::required(
                request,
                &map,
                &["name", "host", "super", "max_accounts", "web_panel"],
            )?;
            let Some(space) = vendor.spaces.get_mut(at) else {
                return Err(not_found(request));
            };
            check::text(&map, "name")
                .unwrap_or_default()
                .clone_into(&mut space.name);
            check::text(&map, "host")
                .unwrap_or_default()
                .clone_into(&mut space.host);
            let most = map.get("max_accounts").and_then(Value::as_u64);
            space.max_accounts = most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(0);
            Ok(ok(&space.json()))
        }
        ("DELETE", [domain]) => {
            let before = vendor.spaces.len();
            vendor.spaces.retain(|space| space.domain != *domain);
            vendor.accounts.retain(|account| account.domain != *domain);
            Ok(rows(before - vendor.spaces.len()))
        }
        _ => Err(not_found(request)),
    }
}

/// `/account_types`.
pub(super) fn types(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    vendor.admin(request)?;
    let json = |(id, key): &(u64, String)| json!({ "id": id, "key": key });
    let id: Option<u64> = path.first().and_then(|id| id.parse().ok());
    match (request.method.as_str(), path.len()) {
        ("GET", 0) => Ok(ok(&vendor.types.iter().map(json).collect())),
        ("POST", 0) => {
            let map = check::object(request)?;
            check::required(request, &map, &["key"])?;
            let key = check::text(&map, "key").unwrap_or_default();
            if key.chars().any(char::is_uppercase) || vendor.types.iter().any(|(_, it)| it == key) {
                return Err(invalid(request, &[("key", "The key cannot be used.")]));
            }
            let made = (vendor.next_id(), key.to_owned());
            vendor.types.push(made.clone());
            Ok(created(&json(&made)))
        }
        ("GET", 1) => match vendor.types.iter().find(|it| Some(it.0) == id) {
            Some(found) => Ok(ok(&json(found))),
            None => Err(not_found(request)),
        },
        ("PUT", 1) => {
            let map = check::object(request)?;
            let key = check::text(&map, "key").unwrap_or_default().to_owned();
            let Some(found) = vendor.types.iter_mut().find(|it| Some(it.0) == id) else {
                return Err(not_found(request));
            };
            found.1 = key;
            Ok(ok(&json(found)))
        }
        ("DELETE", 1) => {
            let before = vendor.types.len();
            vendor.types.retain(|it| Some(it.0) != id);
            Ok(rows(before - vendor.types.len()))
        }
        _ => Err(not_found(request)),
    }
}

/// `/contacts_lists`.
pub(super) fn lists(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    vendor.admin(request)?;
    let json = |(id, title, text, all): &(u64, String, String, Vec<u64>)| json!({ "id": id, "title": title, "description": text, "contacts_count": all.len() });
    let id: Option<u64> = path.first().and_then(|id| id.parse().ok());
    let at = vendor.lists.iter().position(|it| Some(it.0) == id);
    let read = || {
        let map = check::object(request)?;
        check::required(request, &map, &["title", "description"])?;
        let text = |name| check::text(&map, name).unwrap_or_default().to_owned();
        Ok::<_, super::answer::Refused>((text("title"), text("description")))
    };
    match (request.method.as_str(), path, at) {
        ("GET", [], _) => Ok(ok(&vendor.lists.iter().map(json).collect())),
        ("POST", [], _) => {
            let (title, text) = read()?;
            let made = (vendor.next_id(), title, text, Vec::new());
            vendor.lists.push(made.clone());
            Ok(created(&json(&made)))
        }
        (method, [_], Some(at)) => {
            let Some(list) = vendor.lists.get_mut(at) else {
                return Err(not_found(request));
            };
            match method {
                "GET" => Ok(ok(&json(list))),
                "PUT" => {
                    (list.1, list.2) = read()?;
                    Ok(ok(&json(list)))
                }
                "DELETE" => {
                    vendor.lists.remove(at);
                    Ok(rows(1))
                }
                _ => Err(not_found(request)),
            }
        }
        ("DELETE", [_], None) => Ok(rows(0)),
        (method, [_, "contacts", contact], Some(at)) => {
            let contact: u64 = contact.parse().map_err(|_| not_found(request))?;
            let known = vendor.account(contact).is_some();
            let Some(list) = vendor.lists.get_mut(at) else {
                return Err(not_found(request));
            };
            let before = list.3.len();
            list.3.retain(|it| *it != contact);
            match (method, known, before - list.3.len()) {
                ("POST", true, _) => {
                    list.3.push(contact);
                    Ok(empty())
                }
                ("DELETE", _, 1) => Ok(rows(1)),
                _ => Err(abort(request, 404, "Not Found")),
            }
        }
        _ => Err(not_found(request)),
    }
}

/// `/phone_countries`.
pub(super) fn countries(vendor: &mut MockFlexisip, request: &SeenRequest, path: &[&str]) -> Answer {
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let all = vendor.countries.iter().map(|(code, digits, activated)| {
                json!({ "code": code, "country_code": digits, "activated": activated })
            });
            Ok(ok(&all.collect()))
        }
        ("POST", [code, word @ ("activate" | "deactivate")]) => {
            vendor.super_admin(request)?;
            let digits = vendor
                .countries
                .iter()
                .find(|it| it.0 == *code)
                .map(|it| it.1);
            let digits = digits.ok_or_else(|| not_found(request))?;
            let mut count = 0;
            for country in vendor.countries.iter_mut().filter(|it| it.1 == digits) {
                country.2 = *word == "activate";
                count += 1;
            }
            Ok::<HttpAnswer, _>(rows(count))
        }
        _ => Err(not_found(request)),
    }
}
